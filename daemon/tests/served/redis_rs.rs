//! redis-rs, the client of Rust programs: ordinary programs, blocking and asynchronous, RESP2 and RESP3.
//!
//! Clients of other languages: tests/clients. Not here: what needs features of redis-rs that the daemon does not use.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use redis::{
    AsyncCommands, AsyncConnectionConfig, Commands, Connection, PushInfo, PushKind, RedisResult, Value,
};

use crate::daemon::{Daemon, ends_within};

fn every_type(r: &mut Connection) -> RedisResult<()> {
    let bytes: Vec<u8> = (0..=255).cycle().take(70_000).collect();
    r.set::<_, _, ()>("bytes", &bytes)?;
    assert_eq!(r.get::<_, Vec<u8>>("bytes")?, bytes);
    assert_eq!(r.incr::<_, _, i64>("n", 41)?, 41);
    assert_eq!(r.incr::<_, _, f64>("n", 1.5)?, 42.5);
    assert_eq!(r.get::<_, Option<String>>("nothing")?, None);
    assert_eq!(r.rpush::<_, _, usize>("l", &[1, 2, 3])?, 3);
    assert_eq!(r.lrange::<_, Vec<i32>>("l", 0, -1)?, [1, 2, 3]);
    r.hset_multiple::<_, _, _, ()>("h", &[("one", 1), ("two", 2)])?;
    assert_eq!(
        r.hgetall::<_, HashMap<String, i32>>("h")?,
        HashMap::from([("one".into(), 1), ("two".into(), 2)])
    );
    assert_eq!(r.sadd::<_, _, usize>("x", &["a", "b", "a"])?, 2);
    assert_eq!(r.smembers::<_, HashSet<String>>("x")?, HashSet::from(["a".into(), "b".into()]));
    assert_eq!(r.zadd_multiple::<_, _, _, usize>("z", &[(1.5, "a"), (2.0, "b")])?, 2);
    assert_eq!(
        r.zrange_withscores::<_, Vec<(String, f64)>>("z", 0, -1)?,
        [("a".into(), 1.5), ("b".into(), 2.0)]
    );
    assert!(r.pfadd::<_, _, bool>("hll", &["a", "b"])?);
    let wrong: RedisResult<usize> = r.lpush("bytes", 1);
    assert_eq!(wrong.unwrap_err().code(), Some("WRONGTYPE"));
    let found: HashSet<String> = r.scan::<String>()?.collect::<RedisResult<_>>()?;
    assert_eq!(found.len(), 7);
    Ok(())
}

fn pipelines_and_transactions(daemon: &Daemon, r: &mut Connection) -> RedisResult<()> {
    let mut pipe = redis::pipe();
    for n in 0..1000 {
        pipe.set(format!("key:{n}"), n).ignore();
    }
    pipe.get("key:999");
    assert_eq!(pipe.query::<(i32,)>(r)?, (999,));
    assert_eq!(redis::pipe().atomic().set("a", 1).ignore().incr("a", 1).query::<(i32,)>(r)?, (2,));
    // Another client disturbs the first try.
    let mut other = daemon.client("").get_connection()?;
    let mut tries = 0;
    let (sum,): (i32,) = redis::transaction(r, &["a"], |r, pipe| {
        let value: i32 = r.get("a")?;
        tries += 1;
        if tries == 1 {
            other.incr::<_, _, ()>("a", 10)?;
        }
        pipe.set("a", value + 1).ignore().get("a").query(r)
    })?;
    assert_eq!((sum, tries), (13, 2));
    Ok(())
}

fn scripts_streams_and_waiting(daemon: &Daemon, r: &mut Connection) -> RedisResult<()> {
    let sha: String = redis::cmd("SCRIPT").arg("LOAD").arg("return {KEYS[1], ARGV[1] + 1}").query(r)?;
    let answer: (String, i32) = redis::cmd("EVALSHA").arg(&sha).arg(1).arg("k").arg(41).query(r)?;
    assert_eq!(answer, ("k".into(), 42));
    redis::cmd("XGROUP").arg(&["CREATE", "events", "team", "0", "MKSTREAM"]).query::<()>(r)?;
    let id: String = redis::cmd("XADD").arg(&["events", "*", "n", "1"]).query(r)?;
    let read = ["GROUP", "team", "ann", "STREAMS", "events", ">"];
    let fresh: Value = redis::cmd("XREADGROUP").arg(&read).query(r)?;
    assert!(format!("{fresh:?}").contains(&id), "{fresh:?}");
    assert_eq!(redis::cmd("XACK").arg(&["events", "team", &id]).query::<i32>(r)?, 1);
    let mut waiter = daemon.client("").get_connection()?;
    let waiting = std::thread::spawn(move || waiter.blpop::<_, (String, String)>("queue", 10.0));
    while !redis::cmd("INFO").arg("clients").query::<String>(r)?.contains("blocked_clients:1") {
        std::thread::sleep(Duration::from_millis(5));
    }
    r.rpush::<_, _, ()>("queue", "late")?;
    assert_eq!(waiting.join().unwrap()?, ("queue".into(), "late".into()));
    Ok(())
}

fn publish_and_subscribe(daemon: &Daemon, r: &mut Connection) -> RedisResult<()> {
    let mut listener = daemon.client("").get_connection()?;
    let mut pubsub = listener.as_pubsub();
    pubsub.subscribe("news")?;
    pubsub.psubscribe("news.*")?;
    assert_eq!(r.publish::<_, _, i32>("news", "one")?, 1);
    assert_eq!(r.publish::<_, _, i32>("news.today", "two")?, 1);
    let first = pubsub.get_message()?;
    assert_eq!((first.get_channel_name(), first.get_payload::<String>()?), ("news", "one".into()));
    let second = pubsub.get_message()?;
    assert_eq!(
        (second.get_pattern::<String>()?, second.get_payload::<String>()?),
        ("news.*".into(), "two".into())
    );
    Ok(())
}

fn ordinary_program(protocol: &str) -> RedisResult<()> {
    let daemon = Daemon::start();
    let mut r = daemon.client(protocol).get_connection()?;
    every_type(&mut r)?;
    pipelines_and_transactions(&daemon, &mut r)?;
    scripts_streams_and_waiting(&daemon, &mut r)?;
    publish_and_subscribe(&daemon, &mut r)
}

#[test]
fn an_ordinary_blocking_program_runs() {
    for protocol in ["?protocol=resp2", "?protocol=resp3"] {
        ends_within(60, protocol, move || ordinary_program(protocol).unwrap());
    }
}

/// redis-rs waits half a second for an answer unless it is told otherwise, which a machine that stands still takes up.
fn patient() -> AsyncConnectionConfig {
    let patience = Some(Duration::from_secs(30));
    AsyncConnectionConfig::new().set_connection_timeout(patience).set_response_timeout(patience)
}

#[test]
fn an_asynchronous_program_shares_one_connection() -> RedisResult<()> {
    let daemon = Daemon::start();
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap().block_on(
        async {
            let r = daemon.client("").get_multiplexed_async_connection_with_config(&patient()).await?;
            let tasks: Vec<_> = (0..200)
                .map(|n| {
                    let mut r = r.clone();
                    tokio::spawn(async move {
                        r.set::<_, _, ()>(format!("task:{n}"), n).await?;
                        r.incr::<_, _, i64>("sum", n).await?;
                        r.get::<_, i64>(format!("task:{n}")).await
                    })
                })
                .collect();
            for (n, task) in tasks.into_iter().enumerate() {
                assert_eq!(task.await.unwrap()?, n as i64);
            }
            assert_eq!(r.clone().get::<_, i64>("sum").await?, (0..200).sum::<i64>());
            Ok(())
        },
    )
}

#[test]
fn pushes_of_resp3_come_between_answers() -> RedisResult<()> {
    let daemon = Daemon::start();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let (sender, mut pushes) = tokio::sync::mpsc::unbounded_channel::<PushInfo>();
        let config = patient().set_push_sender(sender);
        let client = daemon.client("?protocol=resp3");
        let mut r = client.get_multiplexed_async_connection_with_config(&config).await?;
        let mut other = daemon.client("").get_multiplexed_async_connection_with_config(&patient()).await?;
        redis::cmd("CLIENT").arg(&["TRACKING", "ON"]).query_async::<()>(&mut r).await?;
        r.subscribe("news").await?;
        r.get::<_, Option<String>>("tracked").await?;
        other.set::<_, _, ()>("tracked", 1).await?;
        assert_eq!(other.publish::<_, _, i32>("news", "one").await?, 1);
        assert_eq!(r.get::<_, i32>("tracked").await?, 1);
        let mut kinds = Vec::new();
        while kinds.last() != Some(&PushKind::Message) {
            let push = tokio::time::timeout(Duration::from_secs(30), pushes.recv()).await.unwrap().unwrap();
            kinds.push(push.kind);
        }
        assert_eq!(kinds, [PushKind::Subscribe, PushKind::Invalidate, PushKind::Message]);
        Ok(())
    })
}
