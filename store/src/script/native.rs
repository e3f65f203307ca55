//! The functions that scripts can call, and what they work on.

use pbj_lua::{Host, Raised, Stack, Verdict};

use super::library::Loading;
use super::math::Random;
use super::run::Run;
use super::{api, bit, cjson, cmsgpack, math, pack, sandbox};

/// A function of ours as scripts call it: arguments on the stack in, the number of results on the stack out.
pub(super) type Native = fn(&mut Context<'_>, &mut Stack<'_>) -> Result<i32, Raised>;

/// A table of functions under their names.
pub(super) type Functions = &'static [(&'static str, Native)];

/// All functions: the table and the place in it make the number by which the interpreter knows a function.
fn tables() -> [Functions; 8] {
    [
        sandbox::BASE,
        api::FUNCTIONS,
        api::LIBRARY_FUNCTIONS,
        math::FUNCTIONS,
        cjson::FUNCTIONS,
        cmsgpack::FUNCTIONS,
        pack::FUNCTIONS,
        bit::FUNCTIONS,
    ]
}

/// Functions of one table at most.
const TABLE_SIZE: usize = 256;

/// The number of a function, by its table and its name.
pub(super) fn number(table: Functions, name: &str) -> Option<i32> {
    let at = tables().iter().position(|known| std::ptr::eq(*known, table))?;
    let index = table.iter().position(|(known, _)| *known == name)?;
    i32::try_from(at * TABLE_SIZE + index).ok()
}

/// What code runs for.
pub(super) enum Task<'a> {
    /// A script or a function, called by a client.
    Script(Run<'a>),
    /// The code of a library, which registers functions.
    Load(Loading<'a>),
}

/// What a function of ours works on.
pub(super) struct Context<'a> {
    pub(super) task: Task<'a>,
    pub(super) tools: &'a mut Tools,
    pub(super) random: &'a mut Random,
}

/// Settings that scripts can change, per interpreter.
#[derive(Debug, Default)]
pub(super) struct Tools {
    pub(super) cjson: cjson::Settings,
}

impl<'a> Context<'a> {
    /// Whether a client waits for the end of this.
    pub(super) fn is_script(&self) -> bool {
        matches!(self.task, Task::Script(_))
    }

    pub(super) fn script(&mut self) -> Option<&mut Run<'a>> {
        match &mut self.task {
            Task::Script(run) => Some(run),
            Task::Load(_) => None,
        }
    }

    pub(super) fn loading(&mut self) -> Option<&mut Loading<'a>> {
        match &mut self.task {
            Task::Load(loading) => Some(loading),
            Task::Script(_) => None,
        }
    }
}

impl Host for Context<'_> {
    fn native(&mut self, id: i32, stack: &mut Stack<'_>) -> Result<i32, Raised> {
        let id = usize::try_from(id).unwrap_or(usize::MAX);
        let found = tables().get(id / TABLE_SIZE).copied().and_then(|table| table.get(id % TABLE_SIZE));
        match found {
            Some((_, function)) => function(self, stack),
            None => Err(stack.raise(b"no such function")),
        }
    }

    fn interrupt(&mut self, _stack: &mut Stack<'_>) -> Verdict {
        match &mut self.task {
            Task::Script(run) => run.interrupt(),
            Task::Load(loading) => loading.interrupt(),
        }
    }
}
