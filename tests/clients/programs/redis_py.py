"""An ordinary program with redis-py: redis_py.py PROTOCOL URL

Every type, pipelines, transactions, publish and subscribe, blocking pops, scripts, streams with groups, scans, locks, and
with RESP3 the client-side cache. Written with the calls that redis-py documents; what is expected is what Redis 7.0.15 gives.
"""

import datetime
import sys
import threading
import time

import redis

PROTOCOL, URL = int(sys.argv[1]), sys.argv[2]
MODERN = int(redis.__version__.split(".")[0]) >= 6

r = redis.Redis.from_url(URL, protocol=PROTOCOL, decode_responses=True)


def in_background(body, *arguments):
    """Calls `body` in a thread, and gives a function that waits for what it returns."""
    kept = []
    thread = threading.Thread(target=lambda: kept.append(body(*arguments)))
    thread.start()

    def result():
        thread.join(30)
        assert kept, "nothing came"
        return kept[0]

    return result


def until_blocked(count=1):
    """Waits until so many clients block."""
    for _ in range(3000):
        if r.info("clients")["blocked_clients"] >= count:
            return
        time.sleep(0.01)
    raise AssertionError("nobody blocks")


def strings():
    assert r.set("s", "one") is True
    assert r.get("s") == "one"
    assert r.set("s", "two", nx=True) is None
    assert r.set("s", "two", xx=True, get=True) == "one"
    assert r.set("t", "x", ex=datetime.timedelta(minutes=1)) and 30 < r.ttl("t") <= 60
    assert r.mset({"a": 1, "b": 2}) and r.mget("a", "nothing", "b") == ["1", None, "2"]
    assert r.incrby("a", 41) == 42 and r.incrbyfloat("f", 0.1) == 0.1
    assert r.append("s", "!") == 4 and r.getrange("s", 0, 2) == "two" and r.setrange("s", 3, "?") == 4
    assert r.getdel("s") == "two?" and r.getex("t", persist=True) == "x" and r.ttl("t") == -1
    assert r.setbit("bits", 7, 1) == 0 and r.bitcount("bits") == 1 and r.bitpos("bits", 1) == 7
    assert r.bitfield("bits").set("u8", 8, 255).incrby("u8", 8, 1).execute() == [0, 0]
    assert r.lcs("nothing", "t") == ""
    raw = redis.Redis.from_url(URL, protocol=PROTOCOL)
    every_byte = bytes(range(256)) * 300
    assert raw.set(b"\x00\xff", every_byte) and raw.get(b"\x00\xff") == every_byte


def keys():
    r.mset({f"key:{n}": n for n in range(1000)})
    assert sorted(r.scan_iter("key:*", count=50)) == sorted(f"key:{n}" for n in range(1000))
    assert r.exists("key:1", "key:2", "nothing") == 2 and r.unlink("key:1", "key:2") == 2
    assert r.expire("key:3", 100, nx=True) and not r.expire("key:3", 50, gt=True)
    assert r.expireat("key:4", datetime.datetime.now() + datetime.timedelta(hours=1)) and r.expiretime("key:4") > 0
    assert r.rename("key:3", "key:three") and r.copy("key:three", "key:copy") and r.type("key:copy") == "string"
    assert r.object("encoding", "key:copy") == "int"
    raw = redis.Redis.from_url(URL, protocol=PROTOCOL)
    assert raw.restore("key:restored", 0, raw.dump("key:copy")) and r.get("key:restored") == "3"
    assert r.dbsize() > 900


def lists():
    assert r.rpush("l", 1, 2, 3) == 3 and r.lpush("l", 0) == 4 and r.lrange("l", 0, -1) == ["0", "1", "2", "3"]
    assert r.lmove("l", "m", "LEFT", "RIGHT") == "0" and r.linsert("l", "before", 2, "x") == 4 and r.lpos("l", "x") == 1
    assert r.lset("l", 1, "y") and r.lrem("l", 0, "y") == 1 and r.ltrim("l", 0, 1) and r.llen("l") == 2
    assert r.lpop("l", 5) == ["1", "2"] and r.lmpop(2, "nothing", "m", direction="LEFT", count=2) == ["m", ["0"]]
    assert r.blpop("l", timeout=0.05) is None
    popped = in_background(lambda: redis.Redis.from_url(URL, protocol=PROTOCOL, decode_responses=True).blpop(["l", "m"], 30))
    until_blocked()
    r.rpush("m", "late")
    assert list(popped()) == ["m", "late"]
    moved = in_background(lambda: redis.Redis.from_url(URL, protocol=PROTOCOL, decode_responses=True).blmove("l", "m", 30))
    until_blocked()
    r.rpush("l", "moved")
    assert moved() == "moved" and r.lrange("m", 0, -1) == ["moved"]
    r.rpush("sorted", 3, 1, 2)
    assert r.sort("sorted", desc=True) == ["3", "2", "1"]


def hashes():
    assert r.hset("h", "one", 1, mapping={"two": 2, "three": 3}) == 3 and r.hget("h", "two") == "2"
    assert r.hgetall("h") == {"one": "1", "two": "2", "three": "3"} and r.hmget("h", "one", "no") == ["1", None]
    assert r.hincrby("h", "one", 9) == 10 and r.hincrbyfloat("h", "two", 0.5) == 2.5 and r.hdel("h", "three", "no") == 1
    assert not r.hsetnx("h", "one", 0) and r.hexists("h", "one") and r.hlen("h") == 2 and r.hstrlen("h", "one") == 2
    r.hset("big", mapping={f"field-{n}": "x" * 100 for n in range(500)})
    assert len(dict(r.hscan_iter("big", count=20))) == 500
    assert set(r.hrandfield("big", 3)) < set(r.hkeys("big")) and len(r.hvals("big")) == 500


def sets():
    assert r.sadd("x", "a", "b", "c") == 3 and r.sadd("y", "b", "c", "d") == 3
    assert r.smembers("x") == {"a", "b", "c"} and r.sinter("x", "y") == {"b", "c"} and r.sdiff("x", "y") == {"a"}
    assert r.sunionstore("z", "x", "y") == 4 and r.sintercard(2, ["x", "y"]) == 2 and r.smismember("x", ["a", "d"]) == [1, 0]
    assert r.smove("x", "y", "a") and r.srem("x", "b", "no") == 1 and r.spop("x") == "c" and r.scard("y") == 4
    assert set(r.sscan_iter("z")) == {"a", "b", "c", "d"} and r.srandmember("z") in "abcd"


def sorted_sets():
    assert r.zadd("board", {"ann": 10, "bob": 20, "cid": 30}) == 3
    assert r.zrange("board", 0, -1, withscores=True) in ([("ann", 10), ("bob", 20), ("cid", 30)], [["ann", 10], ["bob", 20], ["cid", 30]])
    assert r.zincrby("board", 25, "ann") == 35 and r.zrevrange("board", 0, 0) == ["ann"] and r.zrank("board", "bob") == 0
    assert r.zadd("board", {"ann": 1}, gt=True) == 0 and r.zscore("board", "ann") == 35 and r.zscore("board", "no") is None
    assert r.zrange("board", "(20", "+inf", byscore=True) == ["cid", "ann"] and r.zcount("board", 20, 30) == 2
    assert r.zadd("words", {word: 0 for word in ("car", "cart", "dog")}) == 3
    assert r.zrangebylex("words", "[car", "(d") == ["car", "cart"] and r.zmscore("board", ["bob", "no"]) == [20, None]
    assert r.zunionstore("both", {"board": 2, "words": 1}) == 6 and r.zremrangebyrank("both", 0, 2) == 3
    assert [name for name, _ in r.zpopmin("board", 1)] == ["bob"] and r.zrem("board", "cid") == 1
    popped = in_background(lambda: redis.Redis.from_url(URL, protocol=PROTOCOL, decode_responses=True).bzpopmin(["empty"], 30))
    until_blocked()
    r.zadd("empty", {"late": 1.5})
    assert list(popped()) == ["empty", "late", 1.5]
    assert dict(r.zscan_iter("words")) == {"car": 0, "cart": 0, "dog": 0}


def geo_and_hyperloglog():
    assert r.geoadd("places", (13.361389, 38.115556, "Palermo", 15.087269, 37.502669, "Catania")) == 2
    assert abs(r.geodist("places", "Palermo", "Catania", unit="km") - 166.2742) < 0.001
    assert r.geosearch("places", longitude=15, latitude=37, radius=200, unit="km", sort="ASC") == ["Catania", "Palermo"]
    assert r.geohash("places", "Palermo") == ["sqc8b49rny0"]
    assert r.pfadd("seen", *range(1000)) == 1 and 980 < r.pfcount("seen") < 1020 and r.pfmerge("all", "seen")


def pipelines():
    with r.pipeline(transaction=False) as pipe:
        for n in range(5000):
            pipe.set(f"pipe:{n}", n)
        assert all(pipe.execute())
    with r.pipeline(transaction=False) as pipe:
        pipe.set("word", "x").incr("word").get("word")
        answers = pipe.execute(raise_on_error=False)
    assert isinstance(answers[1], redis.ResponseError) and answers[2] == "x"
    with r.pipeline() as pipe:
        pipe.set("n", 1).incr("n").lrange("nothing", 0, -1).hgetall("h")
        assert pipe.execute()[:3] == [True, 2, []]
    # A transaction that another client disturbs, and the form that tries again.
    other = redis.Redis.from_url(URL, protocol=PROTOCOL, decode_responses=True)
    with r.pipeline() as pipe:
        pipe.watch("n")
        other.incr("n")
        pipe.multi()
        pipe.set("n", 100)
        try:
            pipe.execute()
            raise AssertionError("the watch did not hold")
        except redis.WatchError:
            pass
    disturbed = []

    def add_ten(pipe):
        value = int(pipe.get("n"))
        if not disturbed:
            disturbed.append(other.incr("n"))
        pipe.multi()
        pipe.set("n", value + 10)

    r.transaction(add_ten, "n")
    assert r.get("n") == "14" and len(disturbed) == 1


def publish_and_subscribe():
    heard = []
    pubsub = r.pubsub(ignore_subscribe_messages=True)
    pubsub.subscribe(**{"news": lambda message: heard.append((message["channel"], message["data"]))})
    pubsub.psubscribe(**{"news.*": lambda message: heard.append((message["pattern"], message["data"]))})
    thread = pubsub.run_in_thread(sleep_time=0.01)
    while r.pubsub_numsub("news") != [("news", 1)] or r.pubsub_numpat() != 1:
        time.sleep(0.01)
    assert r.publish("news", "one") == 1 and r.publish("news.today", "two") == 1 and r.publish("old", "x") == 0
    for _ in range(500):
        if len(heard) == 2:
            break
        time.sleep(0.01)
    thread.stop()
    thread.join()
    assert heard == [("news", "one"), ("news.*", "two")], heard
    r.config_set("notify-keyspace-events", "Ex")
    events = r.pubsub(ignore_subscribe_messages=True)
    events.subscribe("__keyevent@0__:expired")
    r.set("short", 1, px=30)
    for _ in range(100):
        message = events.get_message(timeout=0.1)
        if message:
            break
    assert message["data"] == "short"
    events.close()
    r.config_set("notify-keyspace-events", "")


def scripts():
    limit = r.register_script(
        "local n = redis.call('INCR', KEYS[1]) if n == 1 then redis.call('PEXPIRE', KEYS[1], ARGV[1]) end return n"
    )
    assert [limit(keys=["rate"], args=[60000]) for _ in range(3)] == [1, 2, 3] and r.pttl("rate") > 0
    r.script_flush()
    assert limit(keys=["rate"], args=[60000]) == 4
    with r.pipeline() as pipe:
        limit(keys=["rate"], args=[1], client=pipe)
        assert pipe.execute() == [5]
    assert r.eval("return {1, 'two', {3}, redis.status_reply('OK'), false}", 0) == [1, "two", [3], "OK", None]
    try:
        r.eval("return redis.error_reply('MINE no')", 0)
        raise AssertionError("an error is an exception")
    except redis.ResponseError as error:
        assert str(error) == "MINE no", error
    library = "#!lua name=mine\nredis.register_function('twice', function(keys, args) return args[1] * 2 end)"
    assert r.function_load(library, replace=True) == "mine" and r.fcall("twice", 0, 21) == 42


def streams():
    ids = [r.xadd("log", {"n": n}) for n in range(10)]
    assert r.xlen("log") == 10 and r.xrange("log", count=1) == [(ids[0], {"n": "0"})]
    assert r.xgroup_create("log", "team", id="0")
    fresh = r.xreadgroup("team", "ann", {"log": ">"}, count=4)
    fresh = fresh["log"][0] if isinstance(fresh, dict) else fresh[0][1]
    assert [number for number, _ in fresh] == ids[:4]
    assert r.xack("log", "team", *ids[:2]) == 2 and r.xpending("log", "team")["pending"] == 2
    claimed = r.xautoclaim("log", "team", "bob", min_idle_time=0)
    assert [number for number, _ in claimed[1]] == ids[2:4]
    assert [entry["times_delivered"] for entry in r.xpending_range("log", "team", "-", "+", 10)] == [2, 2]
    assert r.xinfo_groups("log")[0]["lag"] == 6 and r.xinfo_stream("log")["length"] == 10
    last = in_background(lambda: redis.Redis.from_url(URL, protocol=PROTOCOL).xread({"log": "$"}, block=30000))
    until_blocked()
    r.xadd("log", {"late": 1})
    assert last()
    assert r.xtrim("log", maxlen=5, approximate=False) == 6 and r.xdel("log", ids[9]) == 1


def locks():
    lock = r.lock("lock", timeout=30, blocking_timeout=1)
    other = r.lock("lock", timeout=30, blocking=False)
    assert lock.acquire() and not other.acquire() and lock.owned() and lock.locked()
    assert lock.extend(10) and lock.reacquire() and lock.release() is None
    assert other.acquire()
    r.delete("lock")
    try:
        other.release()
        raise AssertionError("a lock that was lost cannot be released")
    except redis.exceptions.LockNotOwnedError:
        pass
    with r.lock("lock", timeout=30):
        assert r.exists("lock")
    assert not r.exists("lock")


def client_side_cache():
    if PROTOCOL != 3 or not MODERN:
        return
    from redis.cache import CacheConfig

    # redis-py caches with servers that say 7.4 or more: pbjd says 7.0.15, and gets the answer that redis-server 7.0.15 gets.
    # What such a cache is made of is CLIENT TRACKING, which node_redis.mjs uses.
    cached = redis.Redis.from_url(URL, protocol=3, cache_config=CacheConfig())
    try:
        cached.get("cached")
        raise AssertionError("redis-py has become less strict: test its cache")
    except redis.ConnectionError as error:
        assert "7.4 or later" in str(error), error


def the_server():
    assert r.ping() and r.echo("x") == "x" and len(r.time()) == 2
    assert r.info("server")["redis_version"] and r.config_get("maxmemory") == {"maxmemory": "0"}
    assert r.client_setname("me") and r.client_getname() == "me" and any(c["name"] == "me" for c in r.client_list())
    assert r.command_count() > 200 and r.memory_usage("h") > 0 and r.slowlog_len() >= 0
    with r.monitor() as monitor:
        r.set("watched", 1)
        assert "watched" in monitor.next_command()["command"]
    second = redis.Redis.from_url(URL.replace("/0", "/1"), protocol=PROTOCOL)
    assert second.dbsize() == 0 and second.set("a", 1) and second.flushdb()
    assert r.acl_setuser("kid", enabled=True, passwords=["+secret"], categories=["+@read"], keys=["pub:*"])
    kid = redis.Redis.from_url(URL.replace("//", "//kid:secret@"), protocol=PROTOCOL)
    assert kid.get("pub:1") is None
    for forbidden in (lambda: kid.get("private"), lambda: kid.set("pub:1", 1)):
        try:
            forbidden()
            raise AssertionError("forbidden and done")
        except redis.exceptions.NoPermissionError:
            pass
    assert r.flushall()


for part in (
    strings,
    keys,
    lists,
    hashes,
    sets,
    sorted_sets,
    geo_and_hyperloglog,
    pipelines,
    publish_and_subscribe,
    scripts,
    streams,
    locks,
    client_side_cache,
    the_server,
):
    part()
print(f"redis-py {redis.__version__}")
