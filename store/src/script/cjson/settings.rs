//! Settings of `cjson`, which scripts can change: for all scripts, or for a library of their own (`cjson.new`).

use pbj_lua::{Kind, Raised, Stack};

use crate::script::native::Context;

/// What can be set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::script) struct Settings {
    pub(super) sparse_convert: bool,
    pub(super) sparse_ratio: i32,
    pub(super) sparse_safe: i32,
    pub(super) encode_max_depth: i32,
    pub(super) decode_max_depth: i32,
    pub(super) precision: i32,
    keep_buffer: bool,
    /// 0: refused, 1: as C prints them, 2: as null.
    pub(super) encode_invalid: i32,
    pub(super) decode_invalid: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            sparse_convert: false,
            sparse_ratio: 2,
            sparse_safe: 10,
            encode_max_depth: 1000,
            decode_max_depth: 1000,
            precision: 14,
            keep_buffer: true,
            encode_invalid: 0,
            decode_invalid: true,
        }
    }
}

impl Settings {
    fn to_numbers(self) -> [i32; 9] {
        [
            i32::from(self.sparse_convert),
            self.sparse_ratio,
            self.sparse_safe,
            self.encode_max_depth,
            self.decode_max_depth,
            self.precision,
            i32::from(self.keep_buffer),
            self.encode_invalid,
            i32::from(self.decode_invalid),
        ]
    }

    fn from_numbers(numbers: [i32; 9]) -> Self {
        let [
            convert,
            sparse_ratio,
            sparse_safe,
            encode_max_depth,
            decode_max_depth,
            precision,
            keep,
            encode_invalid,
            decode,
        ] = numbers;
        Self {
            sparse_convert: convert != 0,
            sparse_ratio,
            sparse_safe,
            encode_max_depth,
            decode_max_depth,
            precision,
            keep_buffer: keep != 0,
            encode_invalid,
            decode_invalid: decode != 0,
        }
    }

    /// The settings of the function that runs: those of all scripts, or those in the table that belongs to it.
    pub(super) fn of(context: &Context<'_>, stack: &mut Stack<'_>) -> Self {
        stack.push_own_value();
        let settings = if stack.kind(-1) == Kind::Table {
            let mut numbers = [0; 9];
            for (index, number) in (1..).zip(&mut numbers) {
                stack.get_element(-1, index);
                *number = stack.number(-1).unwrap_or(0.0) as i32;
                stack.pop(1);
            }
            Self::from_numbers(numbers)
        } else {
            context.tools.cjson
        };
        stack.pop(1);
        settings
    }

    fn store(self, context: &mut Context<'_>, stack: &mut Stack<'_>) {
        stack.push_own_value();
        if stack.kind(-1) == Kind::Table {
            self.fill(stack);
        } else {
            context.tools.cjson = self;
        }
        stack.pop(1);
    }

    /// Fills the table on top.
    fn fill(self, stack: &mut Stack<'_>) {
        for (index, number) in (1..).zip(self.to_numbers()) {
            stack.push_number(f64::from(number));
            stack.set_element(-2, index);
        }
    }
}

/// `cjson.new`: a library with settings of its own.
pub(super) fn new(_context: &mut Context<'_>, stack: &mut Stack<'_>) -> Result<i32, Raised> {
    stack.truncate(0);
    stack.new_table(0, 16);
    stack.new_table(9, 0);
    Settings::default().fill(stack);
    super::set_functions_with(stack);
    stack.pop(1);
    super::add_fields(stack);
    Ok(1)
}

/// Checks that there are not too many arguments, and fills up with nil.
fn arguments(stack: &mut Stack<'_>, count: i32) -> Result<(), Raised> {
    if stack.len() > count {
        return Err(stack.argument_error(count + 1, "found too many arguments"));
    }
    while stack.len() < count {
        stack.push_nil();
    }
    Ok(())
}

/// Sets a number from an argument, if it is there, and pushes what is set.
fn integer_option(
    stack: &mut Stack<'_>,
    argument: i32,
    setting: &mut i32,
    min: i32,
    max: i32,
) -> Result<(), Raised> {
    if stack.kind(argument) != Kind::Nil {
        let value = stack.check_int(argument)?;
        if !(min..=max).contains(&value) {
            return Err(stack.argument_error(1, &format!("expected integer between {min} and {max}")));
        }
        *setting = value;
    }
    stack.push_number(f64::from(*setting));
    Ok(())
}

/// Sets one of several words from an argument, if it is there, and pushes what is set; the first two are false and
/// true.
fn word_option(
    stack: &mut Stack<'_>,
    argument: i32,
    setting: &mut i32,
    words: &[&str],
) -> Result<(), Raised> {
    match stack.kind(argument) {
        Kind::Nil => {}
        Kind::Boolean => *setting = i32::from(stack.boolean(argument)),
        _ => {
            let given = stack.check_text(argument)?.into_owned();
            let found = words.iter().position(|word| word.as_bytes() == given);
            let Some(found) = found.and_then(|found| i32::try_from(found).ok()) else {
                let text = format!("invalid option '{}'", String::from_utf8_lossy(&given));
                return Err(stack.argument_error(argument, &text));
            };
            *setting = found;
        }
    }
    match *setting {
        0 | 1 => stack.push_boolean(*setting == 1),
        other => stack.push_bytes(words.get(other as usize).copied().unwrap_or_default().as_bytes()),
    }
    Ok(())
}

fn flag_option(stack: &mut Stack<'_>, argument: i32, setting: &mut bool) -> Result<(), Raised> {
    let mut value = i32::from(*setting);
    let result = word_option(stack, argument, &mut value, &["off", "on"]);
    *setting = value == 1;
    result
}

/// Reads arguments, lets `change` set something and push it, and stores the settings, as far as they were set.
fn option(
    context: &mut Context<'_>,
    stack: &mut Stack<'_>,
    count: i32,
    change: impl FnOnce(&mut Settings, &mut Stack<'_>) -> Result<(), Raised>,
) -> Result<i32, Raised> {
    arguments(stack, count)?;
    let mut settings = Settings::of(context, stack);
    let result = change(&mut settings, stack);
    settings.store(context, stack);
    result.map(|()| count)
}

pub(super) fn encode_sparse_array(context: &mut Context<'_>, stack: &mut Stack<'_>) -> Result<i32, Raised> {
    option(context, stack, 3, |settings, stack| {
        flag_option(stack, 1, &mut settings.sparse_convert)?;
        integer_option(stack, 2, &mut settings.sparse_ratio, 0, i32::MAX)?;
        integer_option(stack, 3, &mut settings.sparse_safe, 0, i32::MAX)
    })
}

pub(super) fn encode_max_depth(context: &mut Context<'_>, stack: &mut Stack<'_>) -> Result<i32, Raised> {
    option(context, stack, 1, |settings, stack| {
        integer_option(stack, 1, &mut settings.encode_max_depth, 1, i32::MAX)
    })
}

pub(super) fn decode_max_depth(context: &mut Context<'_>, stack: &mut Stack<'_>) -> Result<i32, Raised> {
    option(context, stack, 1, |settings, stack| {
        integer_option(stack, 1, &mut settings.decode_max_depth, 1, i32::MAX)
    })
}

pub(super) fn encode_number_precision(
    context: &mut Context<'_>,
    stack: &mut Stack<'_>,
) -> Result<i32, Raised> {
    option(context, stack, 1, |settings, stack| integer_option(stack, 1, &mut settings.precision, 1, 14))
}

pub(super) fn encode_keep_buffer(context: &mut Context<'_>, stack: &mut Stack<'_>) -> Result<i32, Raised> {
    option(context, stack, 1, |settings, stack| flag_option(stack, 1, &mut settings.keep_buffer))
}

pub(super) fn encode_invalid_numbers(
    context: &mut Context<'_>,
    stack: &mut Stack<'_>,
) -> Result<i32, Raised> {
    option(context, stack, 1, |settings, stack| {
        word_option(stack, 1, &mut settings.encode_invalid, &["off", "on", "null"])
    })
}

pub(super) fn decode_invalid_numbers(
    context: &mut Context<'_>,
    stack: &mut Stack<'_>,
) -> Result<i32, Raised> {
    option(context, stack, 1, |settings, stack| flag_option(stack, 1, &mut settings.decode_invalid))
}
