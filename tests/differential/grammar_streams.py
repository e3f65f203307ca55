"""Requests for streams, made here from beginning to end: numbers of keys and IDs have to fit, and IDs have to grow.

No ID is left to the servers, which would give different ones.
"""

GROUP = {
    "stream": (
        "xack xadd xautoclaim xclaim xdel xgroup|create xgroup|createconsumer xgroup|delconsumer xgroup|destroy "
        "xgroup|setid xinfo|consumers xinfo|groups xinfo|stream xlen xpending xrange xread xreadgroup xrevrange xsetid "
        "xtrim"
    ).split(),
}
# XADD is drawn as often as this, relative to each other command.
WEIGHT = {"stream": 26}
THRESHOLDS = {"stream-node-max-entries": ["100", "4", "1", "0"], "stream-node-max-bytes": ["4096", "120", "0"]}

GROUPS = ["g", "g", "h", "nope"]
CONSUMERS = ["alice", "bob", "carol"]
ODD_IDS = (
    "0 0-0 - + * > $ 1-* 5-x 18446744073709551615 18446744073709551615-18446744073709551615 -1 1-2-3 abc ( (1 [1 "
    "1-18446744073709551615 01 1-01"
).split() + [""]
FIELDS = [["a"], ["a", "b"], ["a", "b"], ["temperature", "unit", "7"], ["b", "a"]]


class Streams:
    """Makes requests, and remembers about how far IDs have grown."""

    names = set(GROUP["stream"])

    def __init__(self, grammar):
        self.grammar = grammar
        self.rng = grammar.rng
        self.ms = 1

    def odd(self):
        return self.rng.random() < self.grammar.oddity

    def key(self):
        return b"x%d" % self.rng.randrange(3) if not self.odd() else self.grammar.key("stream")

    def some_id(self):
        if self.odd():
            return self.rng.choice(ODD_IDS)
        ms = self.rng.randrange(self.ms + 2)
        return self.rng.choice([f"{ms}", f"{ms}-{self.rng.randrange(4)}", f"{ms}-{self.rng.randrange(4)}"])

    def end(self, usual):
        roll = self.rng.random()
        return usual if roll < 0.4 else "(" * (roll > 0.85) + self.some_id()

    def number(self, *usual):
        return self.rng.choice(usual) if not self.odd() else self.rng.choice(["-1", "abc", "0", "9223372036854775807"])

    def group(self):
        return self.rng.choice(GROUPS)

    def consumer(self):
        return self.rng.choice(CONSUMERS)

    def maybe(self, *words, share=0.3):
        return list(words) if self.rng.random() < share else []

    def ids(self):
        return [self.some_id() for _ in range(self.rng.choice([1, 1, 2, 3, 8]))]

    def trim(self):
        sign = self.rng.choice([[], ["="], ["~"], ["~"]])
        how = self.rng.choice([["MAXLEN", *sign, self.number("0", "1", "3", "5", "20")], ["MINID", *sign, self.some_id()]])
        return how + self.maybe("LIMIT", self.number("0", "1", "4", "10"), share=0.4 if sign == ["~"] else 0.03)

    def request(self, name):
        """A request for `name`."""
        make = getattr(self, "make_" + name.replace("|", "_"))
        words = [self.grammar.cased(word.upper()) for word in name.split("|")] + make()
        args = [word if isinstance(word, bytes) else word.encode() for word in words]
        if self.rng.random() < self.grammar.oddity / 2:
            self.grammar.spoil(args)
        if name in ("xread", "xreadgroup"):
            return [arg for arg in args if arg.lower() != b"block"]  # Would wait for ever.
        return args

    def make_xadd(self):
        step = self.rng.choice([0, 0, 1, 1, 2, 300, 100_000]) if self.rng.random() < 0.3 else self.rng.choice([0, 1])
        self.ms += step
        which = self.rng.choice([f"{self.ms}-{self.rng.randrange(30)}", f"{self.ms}-*", f"{self.ms}-*", str(self.ms)])
        which = self.rng.choice([word for word in ODD_IDS if word != "*"]) if self.odd() else which
        names = self.rng.choice(FIELDS)
        pairs = [word for name in names for word in (name, self.grammar.word())]
        return [self.key(), *self.maybe("NOMKSTREAM", share=0.1), *(self.trim() if self.rng.random() < 0.2 else []), which, *pairs]

    def make_xtrim(self):
        return [self.key(), *self.trim()]

    def make_xdel(self):
        return [self.key(), *self.ids()]

    def make_xlen(self):
        return [self.key()]

    def make_xrange(self):
        return [self.key(), self.end("-"), self.end("+"), *self.maybe("COUNT", self.number("0", "1", "2", "10"))]

    def make_xrevrange(self):
        return [self.key(), self.end("+"), self.end("-"), *self.maybe("COUNT", self.number("0", "1", "2", "10"))]

    def streams(self, ids):
        times = self.rng.choice([1, 1, 2, 3])
        return ["STREAMS", *[self.key() for _ in range(times)], *[ids() for _ in range(times)]]

    def make_xread(self):
        ids = lambda: self.rng.choice(["0", "0", "$", self.some_id()])
        return [*self.maybe("COUNT", self.number("0", "1", "2", "10")), *self.streams(ids)]

    def make_xreadgroup(self):
        ids = lambda: self.rng.choice([">", ">", ">", "0", self.some_id()])
        return [
            "GROUP", self.group(), self.consumer(), *self.maybe("COUNT", self.number("0", "1", "2", "10"), share=0.6),
            *self.maybe("NOACK", share=0.1), *self.streams(ids),
        ]

    def make_xsetid(self):
        high = f"{self.ms + self.rng.randrange(3)}-{self.rng.randrange(40)}"
        return [
            self.key(), self.rng.choice([high, self.some_id()]),
            *self.maybe("ENTRIESADDED", self.number("0", "5", "100", "1000")), *self.maybe("MAXDELETEDID", self.some_id()),
        ]

    def make_xack(self):
        return [self.key(), self.group(), *self.ids()]

    def make_xclaim(self):
        # Idle times are either nothing or more than any round lasts, so that both servers decide alike.
        return [
            self.key(), self.group(), self.consumer(), self.number("0", "0", "1000000"), *self.ids(),
            *self.maybe("IDLE", self.number("0", "2000000"), share=0.2), *self.maybe("TIME", self.number("1", "1600000000000"), share=0.1),
            *self.maybe("RETRYCOUNT", self.number("0", "7"), share=0.2), *self.maybe("FORCE"), *self.maybe("JUSTID"),
            *self.maybe("LASTID", self.some_id(), share=0.1),
        ]

    def make_xautoclaim(self):
        return [
            self.key(), self.group(), self.consumer(), self.number("0", "0", "1000000"), self.end("-"),
            *self.maybe("COUNT", self.number("1", "2", "10")), *self.maybe("JUSTID"),
        ]

    def make_xpending(self):
        extended = [
            *self.maybe("IDLE", self.number("0", "1000000")), self.end("-"), self.end("+"), self.number("1", "3", "100"),
            *self.maybe(self.consumer()),
        ]
        return [self.key(), self.group(), *(extended if self.rng.random() < 0.7 else [])]

    def make_xgroup_create(self):
        return [
            self.key(), self.rng.choice(["g", "h"]), self.rng.choice(["0", "$", self.some_id()]), *self.maybe("MKSTREAM", share=0.6),
            *self.maybe("ENTRIESREAD", self.number("-1", "0", "5"), share=0.2),
        ]

    def make_xgroup_setid(self):
        return [
            self.key(), self.group(), self.rng.choice(["0", "$", self.some_id()]),
            *self.maybe("ENTRIESREAD", self.number("-1", "0", "5"), share=0.2),
        ]

    def make_xgroup_destroy(self):
        return [self.key(), self.rng.choice(["h", "h", "h", "g", "nope"])]

    def make_xgroup_createconsumer(self):
        return [self.key(), self.group(), self.consumer()]

    def make_xgroup_delconsumer(self):
        return [self.key(), self.group(), self.consumer()]

    def make_xinfo_consumers(self):
        return [self.key(), self.group()]

    def make_xinfo_groups(self):
        return [self.key()]

    def make_xinfo_stream(self):
        return [self.key(), *self.rng.choice([[], ["FULL"], ["FULL", "COUNT", self.number("0", "1", "5")]])]


TIMES = {b"idle", b"inactive", b"seen-time", b"active-time", b"radix-tree-nodes"}


def without_times(frame):
    """A reply of XINFO or XPENDING without times, without what the reference does not tell, and without its tree."""
    kind, content = frame
    if kind not in "*%" or content is None:
        return frame
    if kind == "%" or (content and content[0] in (("$", b"name"), ("$", b"length"))):
        pairs = [(key, without_times(value)) for key, value in zip(content[::2], content[1::2]) if key[1] not in TIMES]
        return ("%", pairs)
    kinds = [item[0] for item in content]
    if kinds == ["$", "$", ":", ":"]:
        return ("*", [content[0], content[1], content[3]])
    if kinds == ["$", ":", ":"]:
        return ("*", [content[0], content[2]])
    return ("*", [without_times(item) for item in content])
