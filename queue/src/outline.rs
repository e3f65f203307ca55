//! Everything that is derived from the keys, as lines of text: so that two derivations can be compared.
//!
//! A simulator and the tests ask for it: what verbs keep up to date step by step must be what a load derives at once.

use std::collections::BTreeSet;
use std::fmt::Write;

use crate::index::{Due, Timeline};
use crate::queues::Queues;

/// Bytes as text that can be read.
fn text(bytes: &[u8]) -> String {
    bytes.escape_ascii().to_string()
}

impl Queues {
    /// All derived state, a line each, in an order that does not depend on how it came about. Numbers that were handed
    /// out from a reserved block are left out: after a load the rest of the block is skipped.
    pub fn outline(&self) -> BTreeSet<String> {
        let mut lines = BTreeSet::new();
        for queue in &self.all {
            let name = format!("{}/{}", queue.db, text(&queue.name));
            let index = &queue.index;
            lines.insert(format!("queue {name} counts {:?}", index.counts));
            lines.insert(format!("queue {name} ready {:?}", index.ready));
            lines.insert(format!("queue {name} finished {:?}", index.finished));
            lines.insert(format!("queue {name} dead {:?}", index.dead));
            for (number, dated) in &index.dated {
                let alias = dated.alias.as_deref().map(text);
                lines.insert(format!("queue {name} dated {number} {:?} {alias:?}", dated.state));
            }
            lines.insert(format!("queue {name} reserved {:?}", queue.reserved()));
        }
        for ((db, id), (queue, number)) in &self.aliases {
            let queue = text(&self.queue(*queue).name);
            lines.insert(format!("alias {db}/{} is {queue}:{number}", text(id)));
        }
        self.outline_timeline("steady", &self.steady_due, &mut lines);
        self.outline_timeline("calendar", &self.calendar_due, &mut lines);
        self.schedules.outline(&mut lines);
        self.locks.outline(&mut lines);
        lines
    }

    fn outline_timeline(&self, name: &str, timeline: &Timeline, lines: &mut BTreeSet<String>) {
        for &(at, due) in timeline.iter() {
            let mut line = format!("{name} {at} ");
            // Slots depend on the order in which things were made; names do not.
            let written = match due {
                Due::Job(queue, number) => {
                    let queue = self.queue(queue);
                    write!(line, "job {}/{}:{number}", queue.db, text(&queue.name))
                }
                Due::Schedule(slot) => write!(line, "schedule {:?}", self.schedules.name_of(slot)),
                Due::Lock(slot) => write!(line, "lock {:?}", self.locks.name_of(slot)),
            };
            debug_assert!(written.is_ok(), "writing to a string");
            lines.insert(line);
        }
    }
}
