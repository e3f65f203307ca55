"""Damaged values: those of Redis's own tests, and others made of good ones.

The payloads of integration/corrupt-dump are read from the source package; nothing of them is kept here. redis-server is
asked with `sanitize-dump-payload yes`, since it may end otherwise.

Law: whatever it refuses is refused here; what both take has the same digest; what is taken here can be worked with; and
pbjd goes on, whatever comes.
"""

import random
import re

import peers
import values
from wire import Client, Closed

PAYLOAD = re.compile(r'restore (\S+) 0 +"((?:[^"\\]|\\.)*)"', re.IGNORECASE)
VARIABLE = re.compile(r'set corrupt_payload_7445 "((?:[^"\\]|\\.)*)"')
ESCAPE = re.compile(rb"\\(x[0-9A-Fa-f]{1,2}|[0-7]{1,3}|.)", re.DOTALL)
PLAIN = {b"n": b"\n", b"r": b"\r", b"t": b"\t", b"b": b"\b", b"a": b"\a", b"f": b"\f", b"v": b"\v"}

TRAFFIC = {
    b"string": [("get", "k"), ("append", "k", "x"), ("bitcount", "k"), ("setrange", "k", 3, "y"), ("incr", "k")],
    b"list": [("lrange", "k", 0, -1), ("lpush", "k", "x"), ("linsert", "k", "before", "x", "y"), ("lpos", "k", "y"), ("rpop", "k", 3)],
    b"set": [("smembers", "k"), ("sadd", "k", "x"), ("srandmember", "k", 5), ("sismember", "k", "7"), ("spop", "k")],
    b"hash": [("hgetall", "k"), ("hset", "k", "x", "y"), ("hincrby", "k", "n", 5), ("hscan", "k", 0), ("hdel", "k", "x")],
    b"zset": [("zrange", "k", 0, -1, "withscores"), ("zadd", "k", 5, "x"), ("zrank", "k", "x"), ("zpopmin", "k"), ("zcount", "k", 0, 9)],
    b"stream": [
        ("xinfo", "stream", "k", "full"), ("xadd", "k", "*", "f", "v"), ("xrange", "k", "-", "+"), ("xrevrange", "k", "+", "-"),
        ("xgroup", "create", "k", "new", "0"), ("xreadgroup", "group", "new", "c", "streams", "k", ">"), ("xautoclaim", "k", "new", "d", 0, "-"),
        ("xack", "k", "new", "1-1"), ("xtrim", "k", "maxlen", 1), ("xdel", "k", "1-1"),
    ],
}


def unescape(text):
    def plain(found):
        what = found[1]
        if what[:1] == b"x":
            return bytes([int(what[1:], 16)])
        if what.isdigit():
            return bytes([int(what, 8) & 255])
        return PLAIN.get(what, what)

    return ESCAPE.sub(plain, text.encode("latin-1"))


def of_suite(source):
    """The payloads of the suite."""
    text = (source / "tests" / "integration" / "corrupt-dump.tcl").read_text(encoding="latin-1")
    found = [unescape(body) for _, body in PAYLOAD.findall(text)] + [unescape(body) for body in VARIABLE.findall(text)]
    if len(found) < 70:
        raise RuntimeError(f"corrupt-dump.tcl has {len(found)} payloads; it has another form than this test knows")
    return found


def damaged(rng, payload):
    """One or two bytes changed, or something cut off."""
    body = bytearray(payload)
    for _ in range(rng.choice([1, 1, 1, 2])):
        body[rng.randrange(len(body))] = rng.randrange(256)
    if rng.random() < 0.1:
        del body[rng.randrange(len(body)) : -10]
    return bytes(body)


def made_of_good_ones(client, seed):
    rng = random.Random(seed)
    for case in values.cases(seed):
        if "integer" in case.name or "text" in case.name:
            continue
        client.call("flushall")
        for command in case.commands:
            client.call(*command)
        for compress in ("yes", "no"):
            client.call("config", "set", "rdbcompression", compress)
            payload = client.call("dump", "k")[1]
            for _ in range(6):
                yield damaged(rng, payload)
    client.call("config", "set", "rdbcompression", "yes")


class Reference:
    """redis-server, which is started again when a payload ends it."""

    def __init__(self, command):
        self.command, self.ends, self.peer = command, 0, None
        self.start()

    def start(self):
        if self.peer:
            self.peer.stop()
        self.peer = peers.Peer("corrupt", self.command)
        self.client = Client(self.peer.port)
        self.client.call("config", "set", "sanitize-dump-payload", "yes")
        self.client.call("debug", "set-skip-checksum-validation", 1)

    def restore(self, payload):
        """Its reply and the digest of what it took; nothing if that was the end of it."""
        try:
            self.client.call("flushall")
            return self.client.call("restore", "k", 0, payload), self.client.call("debug", "digest-value", "k")
        except (Closed, OSError):
            self.ends += 1
            self.start()
            return None, None


def judge(payload, theirs, mine, digests):
    """What is wrong with a reply of ours."""
    if theirs is None:
        return None
    if mine[0] == "-":
        both = theirs[0] == "-" and theirs != mine and "version" not in str(theirs)
        return f"theirs {theirs}, ours {mine}" if both else None
    if theirs[0] == "-":
        # Versions and types of later servers are read here.
        later = payload[-10] > 10 or payload[0] in (20, 21)
        return None if later else f"theirs {theirs}, ours {mine}"
    return None if digests[0] == digests[1] else f"digests {digests}"


def compare(redis, ours, source, report, seed=1):
    """Restores all of them on both; returns what is to be said about it."""
    reference = Reference([redis, "--save", "", "--enable-debug-command", "yes", "--loglevel", "warning"])
    refused = stricter = number = 0
    try:
        ours.call("debug", "set-skip-checksum-validation", 1)
        payloads = of_suite(source) + list(made_of_good_ones(reference.client, seed))
        for number, payload in enumerate(payloads, 1):
            where = f"corrupt {number}"
            theirs, digest = reference.restore(payload)
            ours.call("flushall")
            mine = ours.call("restore", "k", 0, payload)
            if fault := judge(payload, theirs, mine, (digest, ours.call("debug", "digest-value", "k"))):
                report(where, f"{fault} {payload!r}")
            if mine[0] == "-":
                refused += 1
                stricter += theirs == ("+", b"OK")
                continue
            for command in TRAFFIC[ours.call("type", "k")[1]]:
                ours.call(*command)
            again = ours.call("dump", "k")
            if again[1] and ours.call("restore", "k2", 0, again[1]) != ("+", b"OK"):
                report(where, f"its own dump is refused: {payload!r}")
        ours.call("debug", "set-skip-checksum-validation", 0)
    finally:
        reference.peer.stop()
    return f"{number} payloads, {refused} refused, {stricter} of them taken by redis-server, which ended {reference.ends} times"
