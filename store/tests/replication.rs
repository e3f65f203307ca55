//! Master and replica as two engines that only exchange bytes: whole datasets, streams in pieces of any size, links
//! that break within a transaction, roles that change.
#![expect(clippy::unwrap_used, reason = "a test ends when something is missing")]

use pbj_store::config::Config;
use pbj_store::engine::{ClientId, Engine, EngineOptions, Feeding, Keep, NoHost, Output, Peer, Requests};
use pbj_store::resp::reply::write_command;
use pbj_store::resp::request::{Batch, Parser, RequestLimits};
use pbj_store::time::Now;

const NOW: Now = Now { wall_us: 1_798_761_600_000_000, mono_ms: 5_000_000 };

/// A server: an engine and a client of it.
struct Server {
    engine: Engine,
    client: ClientId,
    now: Now,
    /// What went into its log.
    log: Vec<u8>,
}

impl Server {
    fn new(seed: u64, logged: bool) -> Self {
        let config = Config::default();
        let mut engine =
            Engine::new(EngineOptions { config, seed, extension: None, host: Box::new(NoHost), now: NOW });
        engine.set_feed_wanted(logged);
        let client = engine.connect(NOW, Peer::default());
        Self { engine, client, now: NOW, log: Vec::new() }
    }

    fn execute(&mut self, client: ClientId, bytes: &[u8]) -> (Vec<u8>, bool) {
        let (mut parser, mut batch, mut out) = (Parser::default(), Batch::default(), Vec::new());
        let limits = RequestLimits { bulk_max: 1 << 30, authenticated: true };
        parser.parse(bytes, limits, &mut batch).unwrap();
        let done = self.engine.execute(self.now, client, &Requests::new(&batch, bytes), &mut out);
        self.log.extend(self.engine.fetch_frames(Vec::new()));
        (out, done.follows)
    }

    fn call(&mut self, request: &str) -> String {
        self.call_words(&request.split(' ').collect::<Vec<_>>())
    }

    fn call_words(&mut self, words: &[&str]) -> String {
        let words: Vec<&[u8]> = words.iter().map(|word| word.as_bytes()).collect();
        let mut bytes = Vec::new();
        write_command(&mut bytes, &words);
        let (out, _) = self.execute(self.client, &bytes);
        String::from_utf8_lossy(&out).replace("\r\n", " ").trim().to_owned()
    }

    fn fact(&mut self, name: &str) -> String {
        let info = self.call("INFO replication");
        let found = info.split(' ').find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        found.unwrap_or_default().to_owned()
    }

    fn pass(&mut self, ms: u64) {
        self.now = Now { wall_us: self.now.wall_us + 1000 * ms, mono_ms: self.now.mono_ms + ms };
        for _ in 0..50 {
            self.engine.tick(self.now);
            self.log.extend(self.engine.fetch_frames(Vec::new()));
        }
    }
}

/// A connection between the two, over which bytes come in pieces.
struct Link {
    attempt: u64,
    client: ClientId,
    follows: bool,
    to_replica: Vec<u8>,
    /// What the host of the replica keeps of a dataset.
    kept: Vec<u8>,
}

impl Link {
    fn new(master: &mut Server, replica: &mut Server) -> Self {
        let attempt = replica.engine.wanted_master().unwrap().attempt;
        replica.engine.master_reached(replica.now, attempt);
        let client = master.engine.connect(master.now, Peer::default());
        Self { attempt, client, follows: false, to_replica: Vec::new(), kept: Vec::new() }
    }

    /// Moves bytes, so many at once, until nothing moves any more or the replica got `most`.
    fn run(&mut self, master: &mut Server, replica: &mut Server, piece: usize, most: usize) {
        let (mut moved, mut rounds) = (0, 0);
        loop {
            rounds += 1;
            assert!(rounds < 200_000, "bytes move without end");
            let mut idle = true;
            let words = replica.engine.words_to_master(self.attempt).unwrap();
            if !words.is_empty() {
                let (out, follows) = master.execute(self.client, &words);
                self.to_replica.extend(out);
                self.follows |= follows;
                idle = false;
            }
            master.pass(0);
            if self.follows {
                assert_ne!(master.engine.feed_replica(self.client, &mut self.to_replica), Feeding::Over);
            }
            let count = piece.min(self.to_replica.len()).min(most - moved);
            if count > 0 {
                let bytes: Vec<u8> = self.to_replica.drain(..count).collect();
                self.hear(replica, &bytes);
                replica.log.extend(replica.engine.fetch_frames(Vec::new()));
                moved += count;
                idle = false;
            }
            if idle || moved == most {
                return;
            }
        }
    }

    /// As the daemon does.
    fn hear(&mut self, replica: &mut Server, bytes: &[u8]) {
        let (engine, now) = (&mut replica.engine, replica.now);
        engine.hear_master(now, self.attempt, bytes).unwrap();
        match engine.bytes_to_keep(self.attempt) {
            Keep::Nothing => {}
            Keep::More(bytes) => self.kept.extend(bytes),
            Keep::Last(bytes) => {
                self.kept.extend(bytes);
                let rest = engine.begin_kept(now, self.attempt).unwrap();
                let kept = std::mem::take(&mut self.kept);
                for piece in kept.chunks(777).chain([&rest[..]]) {
                    engine.hear_kept(now, self.attempt, piece).unwrap();
                }
            }
        }
    }

    fn cut(self, master: &mut Server, replica: &mut Server) {
        master.engine.forget(self.client);
        replica.engine.master_lost(replica.now, self.attempt, None);
    }
}

/// A master with data, and a replica that has it, with their link.
fn pair(piece: usize) -> (Server, Server, Link) {
    let (mut master, mut replica) = (Server::new(1, true), Server::new(2, true));
    for request in ["SET a 1", "RPUSH l 1 2 3", "SELECT 5", "HSET h f v", "SELECT 0", "SET dated x PX 5000"] {
        master.call(request);
    }
    replica.call("SET old 1");
    assert_eq!(replica.call("REPLICAOF 127.0.0.1 6379"), "+OK");
    let mut link = Link::new(&mut master, &mut replica);
    link.run(&mut master, &mut replica, piece, usize::MAX);
    assert_eq!(replica.fact("master_link_status"), "up");
    assert_eq!(master.engine.digest(), replica.engine.digest());
    (master, replica, link)
}

fn assert_agreement(master: &mut Server, replica: &mut Server) {
    assert_eq!(master.engine.digest(), replica.engine.digest());
    assert_eq!(master.fact("master_repl_offset"), replica.fact("master_repl_offset"));
}

/// What the log says, repeated, is the data, and it names a place that the data was at.
fn assert_log_is_the_data(server: &Server) {
    let mut other = Server::new(9, false);
    let mut last_place = None;
    let (mut at, limits) = (0, RequestLimits { bulk_max: 1 << 30, authenticated: true });
    while at < server.log.len() {
        let (mut parser, mut batch) = (Parser::default(), Batch::default());
        parser.parse(&server.log[at..], limits, &mut batch).unwrap();
        let slices = batch.slices(&server.log[at..]);
        for number in 0..batch.len() {
            match &slices[batch.arguments_of(number)] {
                [line, ..] if line.starts_with(b"#REPL:") => last_place = Some(line.to_vec()),
                command => other.engine.replay(server.now, command).unwrap(),
            }
        }
        at += batch.bytes_of_first(batch.len());
    }
    assert_eq!(other.engine.digest(), server.engine.digest());
    // What only those who follow hear, such as PING, is behind it.
    let last_place = String::from_utf8(last_place.unwrap()).unwrap();
    let offset = last_place.split(':').nth(1).and_then(|text| text.parse::<u64>().ok()).unwrap();
    assert!((0..=server.engine.place().unwrap().offset).contains(&offset), "{last_place}");
}

/// A look at a directive by its name costs as much as a GET; what is written is fed to replicas, too.
#[test]
#[cfg(debug_assertions)]
fn no_directive_is_looked_up_for_a_write_that_replicas_get() {
    let (mut master, mut replica, mut link) = pair(4096);
    master.call("SET a 0");
    let lookups = pbj_store::config::lookups();
    master.call("SET a 1");
    assert_eq!(pbj_store::config::lookups(), lookups);
    link.run(&mut master, &mut replica, 4096, usize::MAX);
    assert_agreement(&mut master, &mut replica);
}

#[test]
fn a_replica_follows_in_pieces_of_any_size() {
    for piece in [1, 7, 4096] {
        let (mut master, mut replica, mut link) = pair(piece);
        for request in
            ["INCR a", "MULTI", "INCR a", "SELECT 3", "SADD s x y", "EXEC", "SELECT 0", "PUBLISH c m"]
        {
            master.call(request);
        }
        link.run(&mut master, &mut replica, piece, usize::MAX);
        assert_agreement(&mut master, &mut replica);
        assert_eq!(replica.call("GET a"), "$1 3");
        assert_log_is_the_data(&master);
        assert_log_is_the_data(&replica);
    }
}

/// INFO tells how much goes over the link, on both sides.
/// A huge value that is removed while a replica gets it is not freed by who writes the dataset, but handed to the host.
#[test]
fn what_a_full_sync_kept_is_handed_on() {
    let (mut master, mut replica) = (Server::new(1, true), Server::new(2, true));
    let members: String = (0..50_000).map(|n| format!(" member-{n}")).collect();
    master.call(&format!("SADD big{members}"));
    // It goes on one part a tick.
    master.call("CONFIG SET rdb-key-save-delay 1");
    replica.call("REPLICAOF 127.0.0.1 6379");
    let mut link = Link::new(&mut master, &mut replica);
    link.run(&mut master, &mut replica, 4096, 4096);
    assert!(master.engine.current_walk().is_some(), "it is under way");
    assert_eq!(master.call("DEL big"), ":1");
    let garbage = |master: &mut Server| {
        master.engine.take_outputs().iter().any(|output| matches!(output, Output::Garbage(_)))
    };
    assert!(!garbage(&mut master));
    master.call("CONFIG SET rdb-key-save-delay 0");
    link.run(&mut master, &mut replica, 4096, usize::MAX);
    assert!(garbage(&mut master) && master.engine.current_walk().is_none());
    assert_agreement(&mut master, &mut replica);
}

#[test]
fn the_traffic_of_a_link_is_measured() {
    let (mut master, mut replica, mut link) = pair(4096);
    let rate = |server: &mut Server, name: &str| -> f64 {
        let info = server.call("INFO stats");
        let line = info.split(' ').find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        line.unwrap_or_default().parse().unwrap()
    };
    for _ in 0..17 {
        (0..10).for_each(|n| drop(master.call(&format!("SET key:{n} {}", "x".repeat(1000)))));
        link.run(&mut master, &mut replica, 4096, usize::MAX);
        master.pass(100);
        replica.pass(100);
    }
    // Ten kilobytes each tenth of a second.
    for (server, name) in
        [(&mut master, "instantaneous_output_repl_kbps"), (&mut replica, "instantaneous_input_repl_kbps")]
    {
        let found = rate(server, name);
        assert!((95.0..115.0).contains(&found), "{name} {found}");
    }
    assert_eq!(rate(&mut master, "instantaneous_input_repl_kbps"), 0.0);
    for _ in 0..20 {
        master.pass(100);
    }
    assert_eq!(rate(&mut master, "instantaneous_output_repl_kbps"), 0.0);
}

/// What only a slow replica makes the server keep does not count against `maxmemory`: evicting keys would make it more.
#[test]
fn a_slow_replica_evicts_nothing() {
    let (mut master, mut replica, mut link) = pair(4096);
    master.call("CONFIG SET repl-backlog-size 16kb");
    let fact = |server: &mut Server, name: &str| -> u64 {
        let info = server.call("INFO memory");
        let line = info.split(' ').find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        line.unwrap_or_default().parse().unwrap()
    };
    (0..200).for_each(|n| drop(master.call(&format!("SET key:{n} {}", "x".repeat(1000)))));
    master.pass(0);
    assert!((150_000..210_000).contains(&fact(&mut master, "mem_not_counted_for_evict")));
    assert!((150_000..210_000).contains(&fact(&mut master, "mem_clients_slaves")));
    assert!(fact(&mut master, "mem_replication_backlog") <= 32 * 1024);
    link.run(&mut master, &mut replica, 4096, usize::MAX);
    master.call("SET last 1");
    master.pass(0);
    assert!(fact(&mut master, "mem_not_counted_for_evict") <= 16 * 1024);
    assert_eq!(fact(&mut master, "mem_clients_slaves"), 0);
}

/// Whom a server follows is in its configuration, so that CONFIG REWRITE writes it down, whoever decided it.
#[test]
fn the_configuration_names_the_master() {
    let (mut master, mut replica, _link) = pair(4096);
    let named = |server: &mut Server| server.call("CONFIG GET replicaof");
    assert_eq!(
        (named(&mut master), named(&mut replica)),
        ("*2 $9 replicaof $0".into(), "*2 $9 replicaof $14 127.0.0.1 6379".into())
    );
    let id = replica.fact("master_replid");
    // The master hands over.
    replica.call(&format!("PSYNC {id} 1 FAILOVER"));
    assert_eq!((replica.fact("role"), named(&mut replica)), ("master".into(), "*2 $9 replicaof $0".into()));
}

/// The link breaks at every byte of a transaction in turn. What came in part is not seen, and comes again.
#[test]
fn a_link_may_break_anywhere() {
    for most in 0..160 {
        let (mut master, mut replica, mut link) = pair(4096);
        for request in ["MULTI", "SET b 1", "SELECT 2", "SET c 2", "EXEC", "SET d 3"] {
            master.call(request);
        }
        link.run(&mut master, &mut replica, 5, most);
        let seen = (replica.call("EXISTS b"), replica.call("GET b"));
        assert!(
            seen == (":0".into(), "$-1".into()) || replica.engine.database_sizes().len() >= 2,
            "{seen:?}"
        );
        link.cut(&mut master, &mut replica);
        assert_eq!(replica.fact("master_link_status"), "down");
        let mut link = Link::new(&mut master, &mut replica);
        link.run(&mut master, &mut replica, 4096, usize::MAX);
        assert_agreement(&mut master, &mut replica);
        assert_log_is_the_data(&replica);
    }
}

#[test]
fn the_master_alone_decides_what_is_gone() {
    let (mut master, mut replica, mut link) = pair(4096);
    replica.pass(6000);
    // Nobody sees it, and it is there.
    assert_eq!((replica.call("GET dated"), replica.call("DBSIZE")), ("$-1".into(), ":3".into()));
    assert!(replica.call("SET x y").starts_with("-READONLY"));
    master.pass(6000);
    link.run(&mut master, &mut replica, 4096, usize::MAX);
    assert_eq!(replica.call("DBSIZE"), ":2");
    assert_agreement(&mut master, &mut replica);
}

/// The replica becomes the master; the former master follows it from where both are, and not if it has written more.
#[test]
fn roles_change_without_a_full_sync() {
    for extra in [false, true] {
        let (mut master, mut replica, mut link) = pair(4096);
        master.call("SET last 1");
        link.run(&mut master, &mut replica, 4096, usize::MAX);
        if extra {
            master.call("SET lost 1");
        }
        link.cut(&mut master, &mut replica);
        assert_eq!(replica.call("REPLICAOF NO ONE"), "+OK");
        replica.call("SET new 1");
        master.call("REPLICAOF 127.0.0.1 6380");
        let mut link = Link::new(&mut replica, &mut master);
        link.run(&mut replica, &mut master, 4096, usize::MAX);
        assert_agreement(&mut replica, &mut master);
        let full = replica.call("INFO stats").contains("sync_full:1");
        assert_eq!(full, extra);
        assert_eq!(master.call("EXISTS lost"), ":0");
        assert_log_is_the_data(&master);
    }
}

/// With `repl-diskless-load swapdb` the old data is kept until the new is whole. Of another history it is not served
/// meanwhile: it is another answer, not an older one.
#[test]
fn a_dataset_may_grow_aside() {
    let (mut master, mut replica) = (Server::new(1, false), Server::new(2, true));
    replica.call("CONFIG SET repl-diskless-load swapdb");
    (0..2000).for_each(|n| drop(master.call(&format!("SET key:{n} {n}"))));
    replica.call("SET old 1");
    replica.call("REPLICAOF 127.0.0.1 6379");
    let mut link = Link::new(&mut master, &mut replica);
    link.run(&mut master, &mut replica, 1000, 12_000);
    assert_eq!(replica.fact("master_sync_in_progress"), "1");
    assert_eq!(replica.call("GET old"), "-LOADING Redis is loading the dataset in memory");
    assert!(replica.call("INFO persistence").contains("loading:1 async_loading:0"));
    link.cut(&mut master, &mut replica);
    assert_eq!(replica.call("GET old"), "$1 1");
    let mut link = Link::new(&mut master, &mut replica);
    link.run(&mut master, &mut replica, 1000, usize::MAX);
    assert_agreement(&mut master, &mut replica);
    assert_eq!(replica.call("GET old"), "$-1");
    assert_log_is_the_data(&replica);
}

/// A host that is able to keeps a dataset until it is whole. Until then the replica is what it was: it answers, its own
/// replica stays, and when the new master goes away halfway, it goes on with the former one without another full sync.
#[test]
fn a_dataset_that_does_not_become_whole_costs_nothing() {
    let (mut former, mut replica, link) = pair(4096);
    let mut follower = Server::new(3, false);
    follower.call("REPLICAOF 127.0.0.1 6379");
    let mut below = Link::new(&mut replica, &mut follower);
    below.run(&mut replica, &mut follower, 4096, usize::MAX);
    replica.engine.keep_datasets();
    let mut other = Server::new(4, true);
    (0..2000).for_each(|n| drop(other.call(&format!("SET key:{n} {n}"))));
    link.cut(&mut former, &mut replica);
    replica.call("REPLICAOF 127.0.0.1 6380");
    let mut link = Link::new(&mut other, &mut replica);
    link.run(&mut other, &mut replica, 1000, 12_000);
    let kept = link.kept.len();
    assert!(kept > 0, "the dataset goes to the host");
    assert_eq!(replica.fact("master_sync_read_bytes"), kept.to_string());
    assert_eq!((replica.call("GET a"), replica.call("DBSIZE")), ("$1 1".into(), ":3".into()));
    link.cut(&mut other, &mut replica);
    replica.call("REPLICAOF 127.0.0.1 6379");
    former.call("SET a 2");
    let mut link = Link::new(&mut former, &mut replica);
    link.run(&mut former, &mut replica, 1000, usize::MAX);
    below.run(&mut replica, &mut follower, 1000, usize::MAX);
    assert_agreement(&mut former, &mut replica);
    assert_agreement(&mut former, &mut follower);
    assert!(former.call("INFO stats").contains("sync_full:1 sync_partial_ok:1"));
    // Whole, it takes the place of the old data, and what was said behind it is not lost.
    link.cut(&mut former, &mut replica);
    replica.call("REPLICAOF 127.0.0.1 6380");
    let mut link = Link::new(&mut other, &mut replica);
    link.run(&mut other, &mut replica, 1000, 12_000);
    other.call("SET meanwhile 1");
    link.run(&mut other, &mut replica, 1000, usize::MAX);
    assert_agreement(&mut other, &mut replica);
    assert_log_is_the_data(&replica);
}

/// A replica that was away for so long that it has to get everything again answers from its old data meanwhile, if that
/// can be kept.
#[test]
fn old_data_of_the_same_history_is_served_meanwhile() {
    let (mut master, mut replica, link) = pair(4096);
    replica.call("CONFIG SET repl-diskless-load swapdb");
    link.cut(&mut master, &mut replica);
    master.call("CONFIG SET repl-backlog-size 16384");
    (0..2000).for_each(|n| drop(master.call(&format!("SET key:{n} {n}"))));
    master.call("SET a 2");
    let mut link = Link::new(&mut master, &mut replica);
    link.run(&mut master, &mut replica, 1000, 12_000);
    assert_eq!(replica.call("GET a"), "$1 1");
    assert!(replica.call("INFO persistence").contains("loading:0 async_loading:1"));
    link.run(&mut master, &mut replica, 1000, usize::MAX);
    assert_agreement(&mut master, &mut replica);
    assert_eq!(replica.call("GET a"), "$1 2");
}

/// Who follows gets keys by the stream only: an answer would be taken for a part of it.
#[test]
fn a_replica_asks_for_no_keys() {
    let (mut master, _replica, link) = pair(4096);
    for command in [&[&b"GET"[..], b"a"][..], &[b"SET", b"a", b"2"], &[b"PUBLISH", b"c", b"m"]] {
        let mut request = Vec::new();
        write_command(&mut request, command);
        let (out, _) = master.execute(link.client, &request);
        assert_eq!(out, b"-ERR Replica can't interact with the keyspace\r\n");
    }
    assert_eq!(master.call("GET a"), "$1 1");
}

/// A replica that does not read makes the master keep what it still has to get, up to a limit; then it is cut off.
#[test]
fn a_replica_that_does_not_read_is_cut_off() {
    let (mut master, mut replica, link) = pair(4096);
    let limit = ["CONFIG", "SET", "client-output-buffer-limit", "replica 1200000 0 0"];
    assert_eq!(master.call_words(&limit), "+OK");
    master.call("CONFIG SET repl-backlog-size 100000");
    let text = "x".repeat(100_000);
    for _ in 0..11 {
        master.call(&format!("SET big {text}"));
    }
    assert!(master.engine.follows(link.client));
    master.call(&format!("SET big {text}"));
    assert!(!master.engine.follows(link.client));
    let closed = |output: &Output| matches!(output, Output::Close { client } if *client == link.client);
    assert!(master.engine.take_outputs().iter().any(closed));
    assert!(master.engine.replication_counts().backlog < 200_000);
    link.cut(&mut master, &mut replica);
    let mut link = Link::new(&mut master, &mut replica);
    link.run(&mut master, &mut replica, 4096, usize::MAX);
    assert_agreement(&mut master, &mut replica);
}

#[test]
fn clients_wait_for_confirmations() {
    let (mut master, mut replica, mut link) = pair(4096);
    master.call("SET a 2");
    assert_eq!(master.call("WAIT 1 0"), "");
    link.run(&mut master, &mut replica, 4096, usize::MAX);
    let replies = master.engine.take_outputs().into_iter().filter_map(|output| match output {
        Output::Reply { bytes, .. } => Some(bytes),
        _ => None,
    });
    assert_eq!(replies.collect::<Vec<_>>(), [b":1\r\n"]);
    assert_eq!(master.call("WAIT 1 0"), ":1");
    assert_eq!(master.call("WAIT 2 100"), "");
    master.pass(100);
    let bytes = master.engine.take_outputs().into_iter().find_map(|output| match output {
        Output::Reply { bytes, .. } => Some(bytes),
        _ => None,
    });
    assert_eq!(bytes.unwrap(), b":1\r\n");
    master.call("CONFIG SET min-replicas-to-write 1");
    assert_eq!(master.call("SET a 3"), "+OK");
    link.cut(&mut master, &mut replica);
    assert!(master.call("SET a 4").starts_with("-NOREPLICAS"));
}

/// Whatever a master sends, the link ends, and nothing else does.
#[test]
fn nonsense_of_a_master_ends_the_link() {
    for nonsense in [
        "-ERR no\r\n",
        "+PONG\r\n+OK\r\n+OK\r\n+NONSENSE\r\n",
        "+PONG\r\n+OK\r\n+OK\r\n+FULLRESYNC 0000000000000000000000000000000000000000 7\r\n$EOF:short\r\n",
        "+PONG\r\n+OK\r\n+OK\r\n+FULLRESYNC 0000000000000000000000000000000000000000 7\r\n$12\r\nREDIS0099999999",
        "+PONG\r\n+OK\r\n+OK\r\n+CONTINUE\r\n*1\r\nnonsense\r\n",
    ] {
        let mut replica = Server::new(2, true);
        replica.call("SET old 1");
        replica.call("REPLICAOF 127.0.0.1 6379");
        let attempt = replica.engine.wanted_master().unwrap().attempt;
        replica.engine.master_reached(replica.now, attempt);
        let fault = replica.engine.hear_master(replica.now, attempt, nonsense.as_bytes()).unwrap_err();
        replica.engine.master_lost(replica.now, attempt, Some(&fault));
        assert!(!replica.engine.is_loading(), "{nonsense}");
        assert_eq!(replica.call("REPLICAOF NO ONE"), "+OK");
        assert_eq!(replica.call("SET a 1"), "+OK");
    }
}
