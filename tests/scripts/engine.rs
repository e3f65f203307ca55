//! Scripts as the engine runs them: their effects, their bounds, and who may do what while they run.

use std::cell::RefCell;

use pbj_store::engine::{ClientId, Engine, Host, NoHost, Peer, Requests};
use pbj_tests::lab::alone::{Alone, BusyHost, NOW, executed};

/// An engine with one client.
struct World(Alone);

impl World {
    fn new() -> Self {
        Self::with(Box::new(NoHost), &[])
    }

    fn with(host: Box<dyn Host>, directives: &[(&str, &str)]) -> Self {
        Self(Alone::with(host, directives))
    }

    /// The reply to a request, lines apart by blanks.
    fn call(&mut self, words: &[&str]) -> String {
        self.call_as(self.0.client, words)
    }

    fn call_as(&mut self, client: ClientId, words: &[&str]) -> String {
        run(words, |requests, out| {
            self.0.engine.execute(NOW, client, requests, out);
        })
    }

    fn eval(&mut self, script: &str) -> String {
        self.call(&["EVAL", script, "0"])
    }

    /// The frames since the last call.
    fn frames(&mut self) -> String {
        readable(&self.0.engine.fetch_frames(Vec::new()))
    }
}

fn readable(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).replace("\r\n", " ").trim_end().to_owned()
}

/// Has a request executed, and returns the reply.
fn run(words: &[&str], execute: impl FnOnce(&Requests<'_>, &mut Vec<u8>)) -> String {
    let words: Vec<&[u8]> = words.iter().map(|word| word.as_bytes()).collect();
    readable(&executed(&words, execute))
}

fn busy(visit: impl FnMut(&mut Engine, u32) + Send + 'static) -> World {
    World::with(BusyHost::new(visit), &[])
}

fn ask_while_busy(engine: &mut Engine, client: ClientId, words: &[&str]) -> String {
    run(words, |requests, out| {
        engine.execute_while_busy(NOW.plus_ms(6000), client, requests, out);
    })
}

/// The second client of a world: numbers are given in order.
const OTHER: ClientId = ClientId(2);

#[test]
fn effects_of_a_script_are_one_frame() {
    let mut world = World::new();
    world.eval("redis.call('set','a',1) redis.call('incr','a') return redis.call('spop','nosuch')");
    let frame = world.frames();
    assert!(frame.starts_with("*2 $6 SELECT $1 0 *1 $5 MULTI ") && frame.ends_with(" *1 $4 EXEC"), "{frame}");
    world.eval("return redis.call('set','b',1)");
    assert_eq!(world.frames(), "*3 $3 SET $1 b $1 1");
    world.eval("return redis.call('get','b')");
    assert_eq!(world.frames(), "");
}

#[test]
fn a_script_that_fails_halfway_keeps_what_it_did() {
    let mut world = World::new();
    let reply = world.eval("redis.call('set','a',1) redis.call('lpush','a','x') redis.call('set','b',1)");
    assert!(reply.starts_with("-WRONGTYPE "), "{reply}");
    assert_eq!(world.call(&["GET", "a"]), "$1 1");
    assert_eq!(world.call(&["GET", "b"]), "$-1");
    assert_eq!(world.frames(), "*2 $6 SELECT $1 0 *3 $3 SET $1 a $1 1");
}

#[test]
fn a_script_is_recorded_once_somebody_relies_on_its_digest() {
    let mut world = World::new();
    let digest = "e0e1f9fabfc9d4800c877a703b823ac0578ff8db";
    assert_eq!(world.eval("return 1"), ":1");
    assert_eq!(world.frames(), "");
    assert_eq!(world.call(&["EVALSHA", digest, "0"]), ":1");
    assert_eq!(world.frames(), "*3 $6 SCRIPT $4 LOAD $8 return 1");
    assert_eq!(world.call(&["EVALSHA", digest, "0"]), ":1");
    assert_eq!(world.frames(), "");
    assert_eq!(world.call(&["SCRIPT", "LOAD", "return 2"]), "$40 7f923f79fe76194c868d7e1d0820de36700eb649");
    assert_eq!(world.frames(), "*3 $6 SCRIPT $4 LOAD $8 return 2");
    assert_eq!(world.call(&["SCRIPT", "FLUSH"]), "+OK");
    assert_eq!(world.frames(), "*2 $6 SCRIPT $5 FLUSH");
    assert!(world.call(&["EVALSHA", digest, "0"]).starts_with("-NOSCRIPT "));
}

/// A client that writes its arguments into its scripts makes a new one with every call.
#[test]
fn scripts_sent_whole_are_forgotten_and_scripts_called_by_digest_are_not() {
    let mut world = World::new();
    world.eval("return 1");
    world.call(&["EVALSHA", "e0e1f9fabfc9d4800c877a703b823ac0578ff8db", "0"]);
    for number in 0..2000 {
        assert_eq!(world.eval(&format!("return {number} + 0")), format!(":{number}"));
    }
    let info = world.call(&["INFO", "memory"]);
    assert!(info.contains("number_of_cached_scripts:501 "), "{info}");
    assert_eq!(world.call(&["EVALSHA", "e0e1f9fabfc9d4800c877a703b823ac0578ff8db", "0"]), ":1");
    assert_eq!(world.0.engine.lasting_scripts().collect::<Vec<_>>(), [b"return 1"]);
}

#[test]
fn set_repl_leaves_effects_out() {
    let mut world = World::new();
    world.eval(
        "redis.set_repl(redis.REPL_NONE) redis.call('set','a',1) redis.set_repl(redis.REPL_ALL) \
         return redis.call('set','b',1)",
    );
    assert_eq!(world.frames(), "*2 $6 SELECT $1 0 *3 $3 SET $1 b $1 1");
    assert_eq!(world.call(&["GET", "a"]), "$1 1");
}

#[test]
fn what_a_script_pushes_reaches_those_who_wait() {
    let mut world = World::new();
    let waiter = world.0.engine.connect(NOW, Peer::default());
    assert_eq!(world.call_as(waiter, &["BLPOP", "queue", "0"]), "");
    assert_eq!(world.eval("return redis.call('lpush','queue','x') + redis.call('llen','queue')"), ":2");
    let outputs = format!("{:?}", world.0.engine.take_outputs());
    assert!(outputs.contains("Reply"), "{outputs}");
    assert_eq!(world.call(&["EXISTS", "queue"]), ":0");
}

/// Two scripts that brought down others: one asks for a range of 2^32 values, the other one changes what strings are
/// for everybody (CVE-2025-46817 and CVE-2025-46818).
#[test]
fn hostile_scripts_of_the_past() {
    let mut world = World::new();
    for (script, error) in [
        ("return unpack({1}, -2147483648, 2147483647)", "too many results to unpack"),
        ("return unpack({1}, 0, 2147483647)", "too many results to unpack"),
        ("getmetatable('').__index = function() return 1 end", "Attempt to modify a readonly table"),
        ("rawset(getmetatable(''), '__index', 1)", "Attempt to modify a readonly table"),
        ("rawset(_G, 'x', 1)", "Attempt to modify a readonly table"),
        ("setmetatable(string, {})", "Attempt to modify a readonly table"),
        ("table.insert(redis, 1)", "Attempt to modify a readonly table"),
        ("return loadstring(string.dump(function() end))()", "attempt to call a nil value"),
        ("return os.execute('true')", "nonexistent global variable 'os'"),
        ("return require('x')", "nonexistent global variable 'require'"),
        ("return dofile('/etc/passwd')", "nonexistent global variable 'dofile'"),
        ("local function f() return f() + 1 end return f()", "stack overflow"),
        ("return string.find(('a'):rep(9999), ('a?'):rep(9999))", "pattern too complex"),
        ("local t = {} for i = 1, 3000 do t = {t} end return cjson.encode(t)", "excessive nesting"),
        ("return cjson.decode(('['):rep(100000))", "Found too many nested data structures (1001)"),
        ("return cmsgpack.unpack(('\\145'):rep(100000))", "stack overflow"),
        ("return struct.unpack('I' .. ('9'):rep(20), 'x')", "integral size overflow"),
        ("return struct.pack('i33', 1)", "integral size 33 is larger than limit of 32"),
        ("return bit.tohex(1, -2147483648) + {}", "attempt to perform arithmetic"),
    ] {
        let reply = world.eval(script);
        assert!(reply.starts_with('-') && reply.contains(error), "{script}: {reply}");
    }
    assert_eq!(world.eval("return ('x'):upper()"), "$1 X");
}

#[test]
fn a_reply_nests_as_deep_as_the_stack_of_lua() {
    let mut world = World::new();
    let reply = world.eval("local t = {} for i = 1, 100000 do t = {t} end return t");
    assert!(reply.ends_with("-ERR reached lua stack limit"), "{}", &reply[reply.len().saturating_sub(100)..]);
}

/// A script that takes all memory gets an error, and the next one finds the memory free.
#[test]
fn memory_bombs_end_the_script_and_nothing_else() {
    let mut world = World::with(Box::new(NoHost), &[("script-memory-limit", "8mb")]);
    for script in [
        "local t = {} while true do t[#t + 1] = ('x'):rep(10000) .. #t end",
        "local s = 'x' while true do s = s .. s end",
        "return ('x'):rep(2147483647)",
        "local t = {} while true do t = {t, t} pcall(function() t = {t, t} end) end",
        "while true do pcall(function() local s = 'x' while true do s = s .. s end end) local t = {} while true do t[#t + 1] = {} end end",
        "local t = {} for i = 1, 60 do t = {t, t} end return t",
        "local t = {} for i = 1, 60 do t = {t, t} end return cjson.encode(t)",
        "local t = {} for i = 1, 14 do t = {t, t, t, t, t, t, t, t} end return cmsgpack.pack(t)",
        "return cjson.decode('[' .. ('[],'):rep(1000000) .. '1]')",
        "return cmsgpack.unpack('\\221\\255\\255\\255\\255' .. ('\\144'):rep(4000000))",
        "local t = {} for i = 1, 2000 do t[i] = ('x'):rep(1000) end redis.call('rpush', 'l', unpack(t)) t = {} while true do t[#t + 1] = redis.call('lrange', 'l', 0, -1) end",
        "local f = 'return {' .. ('1,'):rep(1000000) .. '1}' return loadstring(f)()",
    ] {
        let reply = world.eval(script);
        let told = reply.contains("not enough memory")
            || reply.contains("larger than script-memory-limit")
            || reply.contains("attempt to call a nil value");
        assert!(reply.starts_with('-') && told, "{script}: {}", &reply[..reply.len().min(300)]);
        assert_eq!(world.eval("return #('x'):rep(1000000)"), ":1000000", "after {script}");
    }
    let info = world.call(&["INFO", "memory"]);
    let used = info.split("used_memory_lua:").nth(1).unwrap().split(' ').next().unwrap();
    assert!(used.parse::<usize>().unwrap() < 8 << 20, "{used}");
}

/// Scripts that never end, in Lua and in C, and that catch errors, are ended all the same.
#[test]
fn time_bombs_are_ended() {
    for script in [
        "while true do end",
        "while true do pcall(function() while true do end end) end",
        "while true do xpcall(function() while true do end end, function() while true do end end) end",
        "local function f() while true do pcall(f) end end f()",
        "while true do coroutine.wrap(function() while true do end end)() end",
        "while true do pcall(coroutine.wrap(function() while true do end end)) end",
        "return string.find(('a'):rep(60), ('a?'):rep(60) .. ('a'):rep(60))",
        "return string.find(('a'):rep(50000), ('.-'):rep(20) .. 'b')",
        "table.insert({}, -2147483000, 1)",
        "while true do redis.pcall('ping') end",
        "return string.gsub(('a'):rep(60), ('a?'):rep(60) .. ('a'):rep(60), '')",
    ] {
        let mut world = busy(|engine, visits| {
            if visits == 3 {
                assert_eq!(ask_while_busy(engine, OTHER, &["SCRIPT", "KILL"]), "+OK");
            }
            assert!(visits < 10_000, "it does not end");
        });
        world.0.engine.connect(NOW, Peer::default());
        let reply = world.eval(script);
        assert!(reply.starts_with("-ERR Script killed by user with SCRIPT KILL..."), "{script}: {reply}");
        assert_eq!(world.call(&["PING"]), "+PONG");
    }
}

#[test]
fn while_a_script_runs_sessions_can_change_and_data_cannot_be_seen() {
    thread_local!(static SEEN: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) });
    let mut world = busy(|engine, visits| {
        if visits > 1 {
            return;
        }
        for words in [
            &["PING"][..],
            &["GET", "x"],
            &["FUNCTION", "KILL"],
            &["FUNCTION", "STATS"],
            &["SHUTDOWN"],
            &["MULTI"],
            &["INCR", "x"],
            &["FUNCTION", "KILL"],
            &["DISCARD"],
            &["MULTI"],
            &["INCR", "x"],
            &["EXEC"],
            &["EXEC"],
            &["NOSUCH"],
            &["SCRIPT", "KILL"],
        ] {
            let reply = ask_while_busy(engine, OTHER, words);
            SEEN.with_borrow_mut(|seen| seen.push(reply));
        }
    });
    world.0.engine.connect(NOW, Peer::default());
    let killed = world.eval("while true do end");
    assert!(killed.starts_with("-ERR Script killed"), "{killed}");
    let busy = "-BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.";
    let aborted = format!("-EXECABORT Transaction discarded because of: {}", &busy[1..]);
    let unknown = "-ERR unknown command 'NOSUCH', with args beginning with: ";
    let wanted = [
        busy,
        busy,
        busy,
        busy,
        busy,
        "+OK",
        busy,
        "+QUEUED",
        "+OK",
        "+OK",
        busy,
        &aborted,
        &aborted,
        unknown.trim_end(),
        "+OK",
    ];
    SEEN.with_borrow(|seen| assert_eq!(*seen, wanted));
}

#[test]
fn a_script_that_has_written_cannot_be_ended() {
    let mut world = busy(|engine, visits| {
        if visits == 1 {
            let reply = ask_while_busy(engine, OTHER, &["SCRIPT", "KILL"]);
            assert!(reply.starts_with("-UNKILLABLE "), "{reply}");
        }
    });
    world.0.engine.connect(NOW, Peer::default());
    assert_eq!(world.eval("redis.call('set','x',1) for i = 1, 100000 do end return 7"), ":7");
    assert!(!world.frames().is_empty());
    assert_eq!(world.call(&["SCRIPT", "KILL"]), "-NOTBUSY No scripts in execution right now.");
}

/// The server is told to end at once while a script has written half of what it wants to write: nothing of it is
/// logged.
#[test]
fn a_script_that_is_abandoned_leaves_no_frame() {
    let mut world = busy(|engine, _| engine.abandon_script());
    assert_eq!(world.call(&["SET", "before", "1"]), "+OK");
    world.frames();
    let reply = world.eval("redis.call('set','x',1) while true do pcall(function() end) end");
    assert!(reply.starts_with("-ERR The server ends."), "{reply}");
    assert_eq!(world.frames(), "");
}

#[test]
fn functions_are_loaded_whole_or_not_at_all() {
    let mut world = World::new();
    let library = |name: &str, body: &str| format!("#!lua name={name}\n{body}");
    let answer = library("lib", "redis.register_function('answer', function() return 42 end)");
    assert_eq!(world.call(&["FUNCTION", "LOAD", &answer]), "$3 lib");
    assert_eq!(world.call(&["FCALL", "ANSWER", "0"]), ":42");
    for broken in [
        library("lib", "redis.register_function('answer', function() return 1 end) error('late')"),
        library("lib", "redis.register_function('answer', function() return 1 end) while true do end"),
        library("lib", "no program"),
        library("lib", ""),
        library("other", "redis.register_function('Answer', function() return 1 end)"),
    ] {
        let reply = world.call(&["FUNCTION", "LOAD", "REPLACE", &broken]);
        assert!(reply.starts_with("-ERR "), "{broken}: {reply}");
        assert_eq!(world.call(&["FCALL", "answer", "0"]), ":42");
    }
    assert_eq!(world.frames().matches("FUNCTION").count(), 1);
    assert_eq!(world.call(&["FUNCTION", "DELETE", "lib"]), "+OK");
    assert_eq!(world.frames(), "*3 $8 FUNCTION $6 DELETE $3 lib");
    assert_eq!(world.call(&["FCALL", "answer", "0"]), "-ERR Function not found");
}

/// Globals, libraries and what functions keep for themselves are apart.
#[test]
fn functions_share_nothing_but_what_they_mean_to() {
    let mut world = World::new();
    let code = "#!lua name=lib\nlocal count = 0\n\
                redis.register_function('next', function() count = count + 1 return count end)\n\
                redis.register_function('global', function() x = 1 end)\n\
                redis.register_function('keys', function(keys) keys[1] = 'mine' return keys end)\n\
                redis.register_function{function_name='read', flags={'no-writes'},\n\
                callback=function(keys) return redis.call('set', keys[1], 'v') end}";
    world.call(&["FUNCTION", "LOAD", code]);
    assert_eq!(world.call(&["FCALL", "next", "0"]), ":1");
    assert_eq!(world.call(&["FCALL", "next", "0"]), ":2");
    assert!(world.call(&["FCALL", "global", "0"]).contains("Attempt to modify a readonly table"));
    assert_eq!(world.call(&["FCALL", "keys", "1", "theirs"]), "*1 $4 mine");
    assert!(
        world
            .call(&["FCALL", "read", "1", "k"])
            .contains("Write commands are not allowed from read-only scripts.")
    );
    assert!(
        world
            .call(&["FCALL_RO", "next", "0"])
            .contains("Can not execute a script with write flag using *_ro command.")
    );
    assert!(world.eval("return count").contains("nonexistent global variable 'count'"));
}
