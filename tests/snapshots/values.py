"""Values of every type and encoding, made by the same commands on both servers.

Law: where redis-server has no choice its bytes are ours. Where it has one (the order of a table, what its compression
remembers of earlier strings) each server must read what the other wrote, and come to the same value.
"""

import random
import struct

WORDS = ["", "a", "field", "7", "-128", "65535", "2147483648", "-9223372036854775808", "é", "\0binary\xff", "x" * 63, "x" * 64, "name:1"]


def words(rng, count, kind):
    if kind == "integers":
        return [str(n) for n in rng.sample(range(-70000, 70000), count)]
    if kind == "short":
        return [f"{rng.choice(WORDS)}{n}" for n in range(count)]
    if kind == "long":
        return [f"{n}:{rng.randbytes(40).hex() * rng.randrange(1, 9)}" for n in range(count)]
    return [f"{'abc' * rng.randrange(60)}{n}" for n in range(count)]


KINDS = ["integers", "short", "long", "repetitive"]


class Case:
    """Commands that make the value of key `k`, and whether its bytes follow from them."""

    def __init__(self, name, commands, exact):
        self.name, self.commands, self.exact = name, commands, exact


def texts(rng):
    for number in [0, 1, -1, 127, 128, -128, -129, 32767, 32768, 2**31 - 1, 2**31, -(2**31) - 1, 2**63 - 1, -(2**63)]:
        yield Case(f"integer {number}", [("set", "k", number)], True)
    for text in [*WORDS, "01", "-0", "1e3", " 1", "x" * 16383, "x" * 16384, "y" * 100_000, rng.randbytes(70_000)]:
        yield Case(f"text of {len(text)}", [("set", "k", text)], True)
    yield Case("appended integer", [("set", "k", "12"), ("append", "k", "34")], True)
    yield Case("bitmap", [("setbit", "k", 5000, 1), ("setbit", "k", 77, 1)], True)
    yield Case("HyperLogLog", [("pfadd", "k", *range(20))], True)
    yield Case("dense HyperLogLog", [("pfadd", "k", *range(n * 500, n * 500 + 500)) for n in range(20)], True)


def lists(rng):
    for kind in KINDS:
        for count in [1, 3, 127, 300, 2000]:
            elements = words(rng, count, kind)
            yield Case(f"list of {count} {kind}", [("rpush", "k", *elements)], True)
    yield Case("list with long elements", [("rpush", "k", "a", "z" * 9000, "b", "z" * 8192, "c" * 8170, "d")], True)
    yield Case("list from the left", [("lpush", "k", "a", "b", "17")], True)
    shuffled = [("rpush", "k", *words(rng, 400, "short"))]
    shuffled += [("linsert", "k", "before", "a1", "new"), ("lrem", "k", 0, "71"), ("lset", "k", 5, "changed")]
    yield Case("edited list", shuffled, False)


def sets(rng):
    for width in [30_000, 2_000_000_000, 2**62]:
        numbers = [rng.randrange(-width, width) for _ in range(50)]
        yield Case(f"integers up to {width}", [("sadd", "k", *numbers)], True)
    yield Case("integers that were wider", [("sadd", "k", 1, 2, 2**40), ("srem", "k", 2**40)], True)
    yield Case("too many integers", [("sadd", "k", *range(600))], False)
    for kind in KINDS:
        for count in [1, 100, 1000]:
            exact = kind == "integers" and count <= 512
            yield Case(f"set of {count} {kind}", [("sadd", "k", *words(rng, count, kind))], exact)


def hashes(rng):
    for kind in KINDS:
        for count in [1, 100, 600]:
            pairs = [x for field in words(rng, count, kind) for x in (field, rng.choice(WORDS[:-2]))]
            fits = all(len(str(x).encode()) <= 64 for x in pairs)
            yield Case(f"hash of {count} {kind}", [("hset", "k", *pairs)], count == 1 or (fits and count <= 512))
    yield Case("hash edited", [("hset", "k", "a", 1, "b", 2), ("hset", "k", "a", "longer"), ("hdel", "k", "b")], True)


def scored(rng):
    scores = ["0", "1.5", "-inf", "+inf", "1e17", "4611686018427387904", "9007199254740993", "1e300", "-3", "0.1"]
    scores += [repr(struct.unpack("<d", rng.randbytes(8))[0]) for _ in range(30)]
    scores = [score for score in scores if "nan" not in score]
    for kind in KINDS:
        for count in [1, 60, 128, 400]:
            pairs = [x for member in words(rng, count, kind) for x in (rng.choice(scores), member)]
            yield Case(f"sorted set of {count} {kind}", [("zadd", "k", *pairs)], True)
    yield Case("geo", [("geoadd", "k", "13.361389", "38.115556", "Palermo", "15.087269", "37.502669", "Catania")], True)


def streams(rng):
    def add(n, *pairs):
        return ("xadd", "k", f"{1000 + n // 3}-{n % 3 + 1}", *pairs)

    plain = [add(n, "sensor", n, "value", rng.choice(WORDS)) for n in range(250)]
    yield Case("stream", plain, True)
    names = [add(n, *[x for f in rng.sample("abcd", rng.randrange(1, 4)) for x in (f, n)]) for n in range(120)]
    yield Case("stream of other fields", names, True)
    far = [("xadd", "k", f"{1 << (2 * n)}-{rng.randrange(1 << 60)}", "f", "v" * n) for n in range(31)]
    yield Case("stream of far IDs", far, True)
    yield Case("large entries", [add(n, "f", "v" * 3000) for n in range(5)], True)
    yield Case("trimmed stream", [*plain, ("xtrim", "k", "maxlen", "100")], False)
    yield Case("whole nodes trimmed", [*plain, ("xtrim", "k", "maxlen", "~", "100")], True)
    yield Case("stream with gaps", [*plain, *[("xdel", "k", f"{1000 + n}-1") for n in range(0, 80, 7)]], False)
    yield Case("emptied stream", [add(0, "f", "v"), ("xdel", "k", "1000-1")], True)
    yield Case("stream that never had any", [("xgroup", "create", "k", "g", "0", "mkstream")], True)
    yield Case("stream with an ID set", [*plain, ("xsetid", "k", "9999-9", "ENTRIESADDED", 7000, "MAXDELETEDID", "500-0")], True)
    groups = [("xgroup", "create", "k", f"g{n}", f"{1000 + n}-0") for n in range(4)]
    groups += [("xgroup", "setid", "k", "g1", "1005-1", "entriesread", 16)]
    yield Case("groups", [*plain, *groups], True)
    yield Case("idle consumers", [*plain, *groups, *[("xgroup", "createconsumer", "k", "g2", c) for c in "cab"]], False)
    busy = [("xreadgroup", "group", f"g{n}", c, "count", 5, "streams", "k", ">") for n in range(3) for c in ("alice", "bob")]
    busy += [("xack", "k", "g0", "1000-1", "1001-1"), ("xdel", "k", "1000-2"), ("xreadgroup", "group", "g0", "alice", "streams", "k", "0")]
    yield Case("busy groups", [*plain, *groups, *busy], False)


def cases(seed):
    rng = random.Random(seed)
    for make in (texts, lists, sets, hashes, scored, streams):
        yield from make(rng)


# What is looked at beside the digest: what DEBUG DIGEST leaves out, as far as it does not depend on the clock.
LOOKS = {
    "stream": [("xinfo", "stream", "k"), ("xinfo", "groups", "k"), ("xpending", "k", "g0"), ("xpending", "k", "g1")],
}


def without_layout(reply):
    """A reply without what is said about nodes."""
    if not isinstance(reply, tuple) or not isinstance(reply[1], list):
        return reply
    items, keep = [], True
    for item in reply[1]:
        if item[0] == "$" and item[1] in (b"radix-tree-keys", b"radix-tree-nodes"):
            keep = False
        elif keep:
            items.append(without_layout(item))
        else:
            keep = True
    return (reply[0], items)


def describe(client):
    """What a client sees of the value of key `k`, beside its bytes."""
    kind = client.call("type", "k")
    seen = [kind, client.call("debug", "digest-value", "k"), client.call("object", "encoding", "k")]
    return seen + [without_layout(client.call(*look)) for look in LOOKS.get(kind[1].decode(), [])]


def compare(reference, ours, seed, report):
    """Makes every value on both; returns how many there were and how many had the same bytes."""
    count, same, inexact = 0, 0, 0
    for case in cases(seed):
        count += 1
        for client in (reference, ours):
            client.call("flushall")
            for command in case.commands:
                reply = client.call(*command)
                if reply[0] == "-":
                    report(case.name, f"{command[:3]} says {reply}")
        theirs, mine = reference.call("dump", "k")[1], ours.call("dump", "k")[1]
        same += theirs == mine
        if theirs != mine and case.exact:
            # Their compression may find a place that it remembers from another string.
            if b"\xc3" in theirs and b"\xc3" in mine and abs(len(theirs) - len(mine)) < 8:
                inexact += 1
            else:
                report(case.name, f"other bytes:\n  theirs {theirs[:200]!r}\n  ours   {mine[:200]!r}")
        reference.call("restore", "k", 0, theirs, "replace")
        wanted = describe(reference)
        for name, client, payload in (("theirs here", ours, theirs), ("ours there", reference, mine), ("ours here", ours, mine)):
            reply = client.call("restore", "k", 0, payload, "replace")
            if reply != ("+", b"OK"):
                report(case.name, f"{name}: {reply}")
                continue
            found = describe(client)
            if found != wanted:
                report(case.name, f"{name}: {found}\n  wanted {wanted}")
    return count, same, inexact
