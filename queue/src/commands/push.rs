//! Pushing jobs.

use super::prelude::*;
use crate::index::QueueNumber;
use crate::keys::write_job_id;
use crate::push::{PushOptions, push};

pub(super) const PUSH: Verb = Verb {
    row: row("job.push", Group::Job)
        .arity(-4)
        .flags(WRITE | DENYOOM | FAST)
        .since("0.1.0")
        .cost("O(log(N)) where N is the number of jobs of the queue that wait.")
        .summary("Adds a job to a queue.")
        .syntax(
            "queue:s type:s payload:s [id:s/ID] [when=(delay:s/DELAY|time:s/AT)] [priority:i/PRIO] \
                 [attempts:i/ATTEMPTS] [backoff:s/BACKOFF] [lease:s/LEASE] [losses:i/LOST] [keep:s/KEEP]",
        ),
    run: run_push,
};

fn run_push(queues: &mut Queues, txn: &mut Txn<'_>, mut args: Args<'_>, reply: &mut Reply<'_>) -> Run {
    let (queue, kind, payload) = (args.bytes()?, args.bytes()?, args.bytes()?);
    let mut options = PushOptions::new(queue, kind)?;
    while args.left() > 0 {
        options.take(&mut args)?;
    }
    options.check(queues, txn)?;
    let (queue, number) = push(queues, txn, &options, payload)?;
    write_id(queues, queue, number, &options, reply);
    Ok(Outcome::Done)
}

/// The id of a job that was just pushed.
fn write_id(
    queues: &Queues,
    queue: QueueNumber,
    number: u64,
    options: &PushOptions<'_>,
    reply: &mut Reply<'_>,
) {
    match options.id {
        Some(id) => reply.bulk(id),
        None => write_job_id(&queues.queue(queue).name, number, reply),
    }
}

pub(super) const MPUSH: Verb = Verb {
    row: row("job.mpush", Group::Job)
        .arity(-7)
        .flags(WRITE | DENYOOM)
        .since("0.1.0")
        .cost("O(M*log(N)) for M jobs.")
        .summary("Adds several jobs of one type to a queue.")
        .syntax(
            "queue:s type:s count:i/COUNT [when=(delay:s/DELAY|time:s/AT)] [priority:i/PRIO] \
                 [attempts:i/ATTEMPTS] [backoff:s/BACKOFF] [lease:s/LEASE] [losses:i/LOST] [keep:s/KEEP] \
                 payload:s/PAYLOADS...",
        ),
    run: run_mpush,
};

fn run_mpush(queues: &mut Queues, txn: &mut Txn<'_>, mut args: Args<'_>, reply: &mut Reply<'_>) -> Run {
    let (queue, kind) = (args.bytes()?, args.bytes()?);
    if !args.word("COUNT") {
        return Err(Fault::Syntax);
    }
    let count = args.integer_in(1..=crate::limits::BATCH_MAX, "COUNT must be between 1 and 10000")? as usize;
    let mut options = PushOptions::new(queue, kind)?;
    while !args.word("PAYLOADS") {
        options.take(&mut args)?;
    }
    if options.id.is_some() {
        return Err(invalid("ID names one job; JOB.MPUSH adds several"));
    }
    let payloads = args.rest();
    if payloads.len() != count {
        return Err(invalid(format_args!("COUNT says {count}, but there are {} payloads", payloads.len())));
    }
    options.check(queues, txn)?;
    reply.array(count);
    for payload in payloads {
        let (queue, number) = push(queues, txn, &options, payload)?;
        write_id(queues, queue, number, &options, reply);
    }
    Ok(Outcome::Done)
}

#[cfg(test)]
mod tests {
    use super::*;

    const OPTIONS: &str = "[id:s/ID] [when=(delay:s/DELAY|time:s/AT)] [priority:i/PRIO] [attempts:i/ATTEMPTS] \
                           [backoff:s/BACKOFF] [lease:s/LEASE] [losses:i/LOST] [keep:s/KEEP]";

    /// Both rows spell the options out, because constants cannot be joined.
    #[test]
    fn the_grammar_of_options_is_the_same_everywhere() {
        assert!(PUSH.row.syntax.ends_with(OPTIONS));
        assert!(MPUSH.row.syntax.contains(OPTIONS.trim_start_matches("[id:s/ID] ")));
    }
}
