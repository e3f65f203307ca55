//! The interpreter from outside: bounds, and that nothing gets around them.
#![expect(clippy::panic, reason = "a test ends when something is missing")]

use pbj_lua::{Failure, Host, Kind, Lua, Raised, Stack, Verdict};

/// A host with one function, which adds its arguments, and patience for so many signs of life.
struct Patient {
    patience: u32,
}

impl Host for Patient {
    fn native(&mut self, _id: i32, stack: &mut Stack<'_>) -> Result<i32, Raised> {
        let mut sum = 0.0;
        for index in 1..=stack.len() {
            sum += stack.check_number(index)?;
        }
        stack.push_number(sum);
        Ok(1)
    }

    fn interrupt(&mut self, _stack: &mut Stack<'_>) -> Verdict {
        self.patience = self.patience.saturating_sub(1);
        if self.patience == 0 { Verdict::End(b"ERR enough".to_vec()) } else { Verdict::GoOn }
    }
}

/// Runs a program; its result or its error as text.
fn run(lua: &mut Lua, program: &str) -> Result<String, (Failure, String)> {
    let mut stack = lua.stack();
    stack.truncate(0);
    stack.push_error_handler();
    let text = |lua: &mut Lua| {
        let mut stack = lua.stack();
        if stack.kind(-1) == Kind::Table {
            stack.get_field(-1, b"err");
        }
        String::from_utf8_lossy(&stack.text(-1).unwrap_or_default()).into_owned()
    };
    match lua
        .load(program.as_bytes(), "@test")
        .and_then(|()| lua.call(&mut Patient { patience: 50 }, 0, 1, true))
    {
        Ok(()) => Ok(text(lua)),
        Err(failure) => Err((failure, text(lua))),
    }
}

fn lua(limit: usize) -> Lua {
    let Some(mut lua) = Lua::new(limit) else { panic!("there is memory for an interpreter") };
    let mut stack = lua.stack();
    stack.push_globals();
    stack.push_native(0);
    stack.set_field(-2, b"add");
    stack.push_null();
    stack.set_field(-2, b"null");
    stack.truncate(0);
    lua
}

#[test]
fn values_go_in_and_come_out() {
    let mut lua = lua(0);
    assert_eq!(run(&mut lua, "return add(1, 2, '3')").as_deref(), Ok("6"));
    assert_eq!(run(&mut lua, "return 'a\\0b'").as_deref(), Ok("a\0b"));
    assert_eq!(run(&mut lua, "return type(null)").as_deref(), Ok("userdata"));
    assert_eq!(run(&mut lua, "return 0.1").as_deref(), Ok("0.1"));
    let (failure, text) = run(&mut lua, "return add(1, {})").unwrap_err();
    assert_eq!(
        (failure, &*text),
        (Failure::Runtime, "ERR test:1: bad argument #2 to 'add' (number expected, got table)")
    );
    let (failure, text) = run(&mut lua, "return )").unwrap_err();
    assert_eq!((failure, &*text), (Failure::Syntax, "test:1: unexpected symbol near ')'"));
}

#[test]
fn precompiled_code_is_text_and_no_program() {
    let mut lua = lua(0);
    assert_eq!(run(&mut lua, "return loadstring(string.dump(function() return 1 end))").as_deref(), Ok(""));
    assert_eq!(run(&mut lua, "\x1bLuaQ").unwrap_err().0, Failure::Syntax);
}

#[test]
fn tables_can_be_closed_for_all_kinds_of_changes() {
    let mut lua = lua(0);
    let mut stack = lua.stack();
    stack.push_globals();
    stack.get_field(-1, b"table");
    stack.set_readonly(-1, true);
    stack.push_boolean(true);
    assert!(stack.is_readonly(-2));
    stack.set_field(-2, b"x");
    assert_eq!(stack.get_field(-1, b"x"), Kind::Nil);
    stack.truncate(0);
    for change in [
        "table.x = 1",
        "rawset(table, 'x', 1)",
        "setmetatable(table, {})",
        "table.insert(table, 1)",
        "table.concat = nil",
    ] {
        let (_, text) = run(&mut lua, change).unwrap_err();
        assert!(text.contains("Attempt to modify a readonly table"), "{change}: {text}");
    }
}

#[test]
fn keys_that_cannot_be_are_refused() {
    let mut lua = lua(0);
    let mut stack = lua.stack();
    stack.new_table(0, 0);
    stack.push_nil();
    stack.push_boolean(true);
    assert!(!stack.set(1));
    stack.push_number(f64::NAN);
    stack.push_boolean(true);
    assert!(!stack.set(1));
    assert_eq!((stack.len(), stack.next(1, 0)), (1, None));
}

#[test]
fn memory_has_a_limit_that_lua_meets_and_rust_does_not() {
    let mut lua = lua(1 << 20);
    for program in
        ["local t = {} while true do t[#t + 1] = {} end", "return ('x'):rep(1e8)", "return #('x'):rep(2e6)"]
    {
        assert_eq!(run(&mut lua, program).unwrap_err().0, Failure::Memory, "{program}");
        assert!(lua.memory() < 1 << 20, "{} after {program}", lua.memory());
        assert_eq!(run(&mut lua, "return #('x'):rep(100000)").as_deref(), Ok("100000"));
    }
    let mut stack = lua.stack();
    stack.push_bytes(&vec![0; 4 << 20]);
    assert!(stack.is_over_limit());
}

#[test]
fn no_code_gets_around_the_end() {
    for program in [
        "while true do end",
        "while true do pcall(function() while true do end end) end",
        "while true do xpcall(function() while true do end end, function() while true do end end) end",
        "return string.find(('a'):rep(50), ('a?'):rep(50) .. ('a'):rep(50))",
        "local t = {} for i = 1, 3e5 do t[i] = i % 7 end while true do table.sort(t) end",
        "table.insert({}, -2147483000, 1)",
        "while true do coroutine.wrap(function() while true do end end)() end",
    ] {
        let mut lua = lua(0);
        let (failure, text) = run(&mut lua, program).unwrap_err();
        assert_eq!((failure, &*text), (Failure::Runtime, "ERR enough"), "{program}");
        // The end is over.
        assert_eq!(run(&mut lua, "for i = 1, 1e5 do end return 1").as_deref(), Ok("1"));
    }
}

#[test]
fn a_full_stack_is_an_error_and_not_the_end_of_the_process() {
    let mut lua = lua(0);
    let program = "local t = {} for i = 1, 7999 do t[i] = i end return add(unpack(t))";
    assert_eq!(run(&mut lua, program).as_deref(), Ok("31996000"));
    assert!(
        run(&mut lua, "local function f() return f() + 1 end return f()")
            .unwrap_err()
            .1
            .contains("stack overflow")
    );
    assert!(run(&mut lua, "local function f() return pcall(f) end return add(f())").is_err());
    assert!(
        run(&mut lua, "return (string.gsub(('x'):rep(300), '.', function() return string.rep('y', 10) end))")
            .is_ok()
    );
    let nested = "local function f() return (string.gsub('a', 'a', f)) end return f()";
    assert!(run(&mut lua, nested).unwrap_err().1.contains("C stack overflow"));
}
