//! Every command has what COMMAND DOCS, the help and the documentation tell of it.

use pbj_store::command::Group;
use pbj_tests::lab::server::{ServerOptions, engine};

#[test]
fn every_row_is_complete() {
    let engine = engine(pbj_store::time::Now::default(), &ServerOptions::default());
    let mut faults = Vec::new();
    for callable in engine.commands().all() {
        let (row, name) = (callable.row, callable.full_name());
        let mut lacks = |what: &str, lacking: bool| {
            if lacking {
                faults.push(format!("{name} {what}"));
            }
        };
        lacks("has no summary", row.summary.is_empty());
        lacks("has a summary without a full stop", !row.summary.ends_with(['.', '?']));
        lacks("has no version", row.since.split('.').count() != 3);
        lacks("has no cost", row.cost.is_empty() && row.subcommands.is_empty());
        lacks("has no arity", row.arity == 0);
        let ours = matches!(row.group, Group::Job | Group::Cron | Group::Lock);
        let takes_arguments = row.arity != 1 && row.subcommands.is_empty();
        lacks("has no grammar", ours && takes_arguments && row.syntax.is_empty());
        lacks("is not named as ours are", ours && !name.contains('.'));
    }
    assert!(engine.commands().all().len() > 200);
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}
