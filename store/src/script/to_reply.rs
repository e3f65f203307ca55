//! The result of a script on its way to a client.

use pbj_lua::{Kind, Stack, to_integer};

use crate::resp::reply::{Protocol, Reply};

/// What was written, for the statistics.
#[derive(Debug, Default)]
pub(super) struct Written {
    /// There is an error in it.
    pub(super) failed: bool,
    /// Errors that nobody counted yet.
    pub(super) uncounted: Vec<Vec<u8>>,
}

/// A table that is being written, with its elements still to come.
struct Open {
    /// Its index on the stack.
    table: i32,
    form: Form,
    /// How far it was written.
    position: i32,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    Array,
    Map,
    /// The value of a pair comes next; its key was written.
    MapValue,
    Set,
}

/// Writes the value on top of the stack as a reply, and takes it.
///
/// Tables nest as deep as the stack of Lua allows, which is deeper than ours: so there is no recursion here.
pub(super) fn write(stack: &mut Stack<'_>, script_protocol: Protocol, reply: &mut Reply<'_>) -> Written {
    let mut writer = Writer { script_protocol, written: Written::default(), open: Vec::new() };
    let (start, limit) = (reply.position(), stack.limit().unwrap_or(usize::MAX));
    writer.value(stack, reply);
    while let Some(open) = writer.open.last_mut() {
        if reply.position() - start > limit {
            // A table may be in others many times over.
            reply.truncate(start);
            stack.truncate(0);
            writer.open.clear();
            writer.error(b"ERR the reply of the script is larger than script-memory-limit", true, reply);
            break;
        }
        if advance(open, stack) {
            writer.value(stack, reply);
        } else if let Some(open) = writer.open.pop() {
            stack.truncate(open.base());
        }
    }
    writer.written
}

impl Open {
    /// How many values lie below this table, and, for maps and sets, below the table they are in.
    fn base(&self) -> i32 {
        self.table - if self.form == Form::Array { 1 } else { 2 }
    }
}

/// Pushes the next element of an open table; says whether there is one.
fn advance(open: &mut Open, stack: &mut Stack<'_>) -> bool {
    match open.form {
        Form::Array => {
            open.position += 1;
            if stack.get_element(open.table, open.position) == Kind::Nil {
                stack.pop(1);
                return false;
            }
        }
        Form::Map => match stack.next(open.table, open.position) {
            None => return false,
            Some(next) => {
                open.position = next;
                open.form = Form::MapValue;
                // The value waits below the key.
                stack.insert(-2);
            }
        },
        // It lies on top.
        Form::MapValue => open.form = Form::Map,
        Form::Set => match stack.next(open.table, open.position) {
            None => return false,
            Some(next) => {
                open.position = next;
                stack.pop(1);
            }
        },
    }
    true
}

struct Writer {
    script_protocol: Protocol,
    written: Written,
    open: Vec<Open>,
}

impl Writer {
    /// Writes the value on top and takes it; of a table only what is no element of it.
    fn value(&mut self, stack: &mut Stack<'_>, reply: &mut Reply<'_>) {
        if !stack.reserve_exactly(4) {
            self.error(b"ERR reached lua stack limit", true, reply);
            return stack.pop(1);
        }
        match stack.kind(-1) {
            Kind::String => reply.bulk(stack.bytes(-1).unwrap_or_default()),
            Kind::Number => reply.integer(to_integer(stack.number(-1).unwrap_or(0.0))),
            Kind::Boolean => {
                let value = stack.boolean(-1);
                match self.script_protocol {
                    Protocol::V2 if value => reply.integer(1),
                    Protocol::V2 => reply.null(),
                    Protocol::V3 => reply.boolean(value),
                }
            }
            Kind::Table => return self.table(stack, reply),
            _ => reply.null(),
        }
        stack.pop(1);
    }

    fn error(&mut self, text: &[u8], count: bool, reply: &mut Reply<'_>) {
        reply.error(text);
        self.written.failed = true;
        if count {
            self.written.uncounted.push(text.to_vec());
        }
    }

    fn table(&mut self, stack: &mut Stack<'_>, reply: &mut Reply<'_>) {
        let table = stack.len();
        if stack.get_field(table, b"err") == Kind::String {
            let text = c_text(stack.bytes(-1).unwrap_or_default());
            let len = text.iter().rposition(|byte| !b"\r\n".contains(byte)).map_or(0, |last| last + 1);
            let text = text[..len].to_vec();
            let ignore =
                stack.get_field(table, b"ignore_error_stats_update") == Kind::Boolean && stack.boolean(-1);
            self.error(&text, !ignore, reply);
            return stack.truncate(table - 1);
        }
        stack.pop(1);
        if stack.get_field(table, b"ok") == Kind::String {
            reply.status_bytes(c_text(stack.bytes(-1).unwrap_or_default()));
            return stack.truncate(table - 1);
        }
        stack.pop(1);
        if stack.get_field(table, b"double") == Kind::Number {
            reply.double(stack.number(-1).unwrap_or(0.0));
            return stack.truncate(table - 1);
        }
        stack.pop(1);
        if stack.get_field(table, b"big_number") == Kind::String {
            reply.big_number(stack.bytes(-1).unwrap_or_default());
            return stack.truncate(table - 1);
        }
        stack.pop(1);
        if stack.get_field(table, b"verbatim_string") == Kind::Table
            && stack.get_field(table + 1, b"format") == Kind::String
            && stack.get_field(table + 1, b"string") == Kind::String
        {
            let format = c_text(stack.bytes(-2).unwrap_or_default());
            reply.verbatim_of(format, stack.bytes(-1).unwrap_or_default());
            return stack.truncate(table - 1);
        }
        stack.truncate(table);
        for (name, form) in [(&b"map"[..], Form::Map), (b"set", Form::Set)] {
            if stack.get_field(table, name) == Kind::Table {
                let len = count_entries(stack, table + 1);
                if form == Form::Map {
                    reply.map(len);
                } else {
                    reply.set(len);
                }
                self.open.push(Open { table: table + 1, form, position: 0 });
                return;
            }
            stack.pop(1);
        }
        reply.array(count_elements(stack, table));
        self.open.push(Open { table, form: Form::Array, position: 0 });
    }
}

/// How many elements there are up to the first that is nil.
fn count_elements(stack: &mut Stack<'_>, table: i32) -> usize {
    let mut len = 0;
    while stack.get_element(table, len + 1) != Kind::Nil {
        stack.pop(1);
        len += 1;
    }
    stack.pop(1);
    usize::try_from(len).unwrap_or(0)
}

fn count_entries(stack: &mut Stack<'_>, table: i32) -> usize {
    let (mut len, mut position) = (0, 0);
    while let Some(next) = stack.next(table, position) {
        position = next;
        stack.pop(2);
        len += 1;
    }
    len
}

/// What C sees of a text: it ends at the first zero.
fn c_text(text: &[u8]) -> &[u8] {
    text.split(|&byte| byte == 0).next().unwrap_or_default()
}
