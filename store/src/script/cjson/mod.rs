//! The library `cjson` of scripts: JSON, with the settings and the words of lua-cjson 2.1 as Redis ships it.
//!
//! Law: no more output than memory, no more depth than [`crate::limits::NESTING_MAX`], whatever the settings say.

mod decode;
mod encode;
mod settings;

use pbj_lua::Stack;

use super::native::{Functions, Native, number};
pub(super) use settings::Settings;

pub(super) static FUNCTIONS: Functions = &[
    ("encode", encode::encode as Native),
    ("decode", decode::decode),
    ("encode_sparse_array", settings::encode_sparse_array),
    ("encode_max_depth", settings::encode_max_depth),
    ("decode_max_depth", settings::decode_max_depth),
    ("encode_number_precision", settings::encode_number_precision),
    ("encode_keep_buffer", settings::encode_keep_buffer),
    ("encode_invalid_numbers", settings::encode_invalid_numbers),
    ("decode_invalid_numbers", settings::decode_invalid_numbers),
    ("new", settings::new),
];

/// Sets what is no function in the table on top.
pub(super) fn add_fields(stack: &mut Stack<'_>) {
    stack.push_null();
    stack.set_field(-2, b"null");
    stack.push_bytes(b"cjson");
    stack.set_field(-2, b"_NAME");
    stack.push_bytes(b"2.1.0");
    stack.set_field(-2, b"_VERSION");
}

/// Sets all functions in the table below the top, each with the settings on top, which stay there.
fn set_functions_with(stack: &mut Stack<'_>) {
    for (name, _) in FUNCTIONS {
        if let Some(id) = number(FUNCTIONS, name) {
            stack.push_copy(-1);
            stack.push_native_with_value(id);
            stack.set_field(-3, name.as_bytes());
        }
    }
}
