//! What scripts may call, with any arguments: cjson, cmsgpack, struct, bit, string.format, redis.*; and any
//! text as a script.
//!
//! An input is a byte that says which of these, and arguments with a zero byte between each two.

use super::memory::within;
use super::world::World;
use super::{NUMBERS, Target, with_numbers};

/// A script may take 8 MiB (`world.rs`), its arguments and its reply are copied on the way.
const BYTES_MAX: usize = 64 << 20;

const WORDS: [&str; 24] = [
    "\u{0}",
    "[",
    "]",
    "{\"a\":",
    "}",
    "null",
    "true",
    "\\u0000",
    "\\ud800",
    "1e999",
    "<i4",
    ">I8",
    "s",
    "c0",
    "!16",
    "x",
    "%d",
    "%99.99f",
    "%q",
    "SET",
    "k",
    "while true do end",
    "error(",
    "return ",
];

pub(super) const TARGET: Target = Target {
    name: "script",
    run,
    seeds,
    words: &with_numbers::<{ WORDS.len() }, { WORDS.len() + NUMBERS.len() }>(WORDS),
};

/// Functions of a library, called with all arguments, as they are and as numbers.
const ALL_OF: &str = "
    local numbers = {}
    for i = 1, #ARGV do numbers[i] = tonumber(ARGV[i]) or ARGV[i] end
    local names = {}
    for name in pairs(LIBRARY) do names[#names + 1] = name end
    table.sort(names)
    for _, name in ipairs(names) do
      if type(LIBRARY[name]) == 'function' then
        pcall(LIBRARY[name], unpack(ARGV))
        pcall(LIBRARY[name], unpack(numbers))
        pcall(LIBRARY[name], numbers)
      end
    end
    return 1";

/// The scripts: what each does with its arguments.
const SCRIPTS: [&str; 11] = [
    "local t = cjson.decode(ARGV[1]) local s = cjson.encode(t) cjson.decode(s) return s",
    "local t = {cmsgpack.unpack(ARGV[1])} local s = cmsgpack.pack(unpack(t)) cmsgpack.unpack(s) return s",
    "return cmsgpack.unpack(ARGV[1])",
    "return {struct.unpack(ARGV[1], ARGV[2] or '', tonumber(ARGV[3]) or 1)}",
    "local t = {} for i = 2, #ARGV do t[i - 1] = tonumber(ARGV[i]) or ARGV[i] end return {struct.size(ARGV[1]), struct.pack(ARGV[1], unpack(t))}",
    "return cmsgpack.unpack_limit and {cmsgpack.unpack_limit(ARGV[1], tonumber(ARGV[2]) or 1, tonumber(ARGV[3]) or 0)}",
    "local t = {} for i = 2, #ARGV do t[i - 1] = tonumber(ARGV[i]) or ARGV[i] end return string.format(ARGV[1], unpack(t))",
    "return redis.pcall(unpack(ARGV))",
    "redis.setresp(3) return redis.call(unpack(ARGV))",
    "return {tonumber(ARGV[1], tonumber(ARGV[2])), string.byte(ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]) or 1), \
     string.sub(ARGV[1], tonumber(ARGV[2]) or 1, tonumber(ARGV[3]) or 1)}",
    "return cjson.decode(ARGV[1])",
];
/// The libraries of which every function is called.
const LIBRARIES: [&str; 5] = ["redis", "bit", "cjson", "struct", "cmsgpack"];
/// Behind those: the text is a script, or a library.
const FORMS: usize = SCRIPTS.len() + LIBRARIES.len() + 2;

fn seeds() -> Vec<Vec<u8>> {
    let mut seeds = Vec::new();
    let mut add = |form: usize, arguments: &[&[u8]]| {
        seeds.push([&[form as u8], arguments.join(&0).as_slice()].concat());
    };
    for form in [0, 10] {
        add(form, &[b"{\"a\":[1,2.5,-3e10,null,true,\"x\\u00e9\\n\"],\"b\":{}}"]);
        add(form, &[b"[[[[1]]],{\"1\":2,\"1000000\":3}]"]);
    }
    for form in [1, 2, 5] {
        add(form, &[b"\x93\x01\xa1a\xcb?\xf0\x00\x00\x00\x00\x00\x00", b"1"]);
        add(form, &[b"\x82\xa1a\xd9\x03abc\xc3\xc2\xdc\x00\x01\x05", b"2"]);
    }
    add(3, &[b"<i4>I2s", b"\x01\x02\x03\x04\x05\x06abc"]);
    add(4, &[b">i8!4dfc3s", b"1", b"2.5", b"3", b"abc", b"x"]);
    add(6, &[b"%5d|%-8s|%q|%.3f|%x|%c", b"1", b"a", b"b", b"2.5", b"255", b"65"]);
    for form in [7, 8] {
        add(form, &[b"SET", b"k", b"v"]);
        add(form, &[b"ZADD", b"k", b"1.5", b"a", b"2", b"b"]);
        add(form, &[b"HGETALL", b"k"]);
    }
    add(9, &[b"ff", b"16", b"2"]);
    for form in SCRIPTS.len()..SCRIPTS.len() + LIBRARIES.len() {
        add(form, &[b"1", b"-2", b"abc"]);
        add(form, &[b"SET", b"k", b"v"]);
    }
    add(FORMS - 2, &[b"local t = {} for i = 1, 10 do t[i] = i end return {t, 'a', 1.5, true, {err='E x'}, {ok='y'}, {double=1.5}}"]);
    add(FORMS - 2, &[b"#!lua flags=no-writes\nreturn redis.call('get', KEYS[1] or 'k')"]);
    add(FORMS - 1, &[b"#!lua name=lib\nredis.register_function{function_name='f', callback=function(keys, args) return args[1] end, flags={'no-writes'}}"]);
    seeds
}

fn run(input: &[u8]) {
    let Some((&form, rest)) = input.split_first() else { return };
    let form = usize::from(form) % FORMS;
    let text = match form.checked_sub(SCRIPTS.len()) {
        None => SCRIPTS[form].to_owned(),
        Some(library) if library < LIBRARIES.len() => ALL_OF.replace("LIBRARY", LIBRARIES[library]),
        Some(_) => String::new(),
    };
    within(BYTES_MAX, || {
        let mut world = World::new();
        if form == FORMS - 2 {
            world.reply(&[b"EVAL", rest, b"0"]);
        } else if form == FORMS - 1 {
            world.reply(&[b"FUNCTION", b"LOAD", b"REPLACE", rest]);
            world.reply(&[b"FUNCTION", b"LIST"]);
            world.reply(&[b"FCALL", b"f", b"0", b"x"]);
        } else {
            let arguments = rest.split(|&byte| byte == 0);
            let words: Vec<&[u8]> = [b"EVAL", text.as_bytes(), b"0"].into_iter().chain(arguments).collect();
            world.reply(&words);
        }
        assert_eq!(world.call(&[b"EVAL", b"return 1", b"0"]), b":1\r\n", "the next script runs");
    });
}
