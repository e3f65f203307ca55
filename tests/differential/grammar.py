"""Random requests, mostly well-formed, from the grammar that the reference publishes about itself (COMMAND DOCS).

Law: the same source of chance gives the same requests. A request is a list of bytes.
Arguments are drawn from small pools, so that keys, members and scores meet each other, and every pool holds some of
the values that programs get wrong: borders of integers, floats with no exact form, empty and binary strings.
"""

import time

import grammar_types as types
from scope import GROUPS, KEY_POOLS

INTEGERS = "0 1 2 3 4 5 7 10 -1 -2 -3 -5 -10".split()
ODD_INTEGERS = (
    "100 511 513 9223372036854775807 -9223372036854775808 -9223372036854775807 9223372036854775808 "
    "4611686018427387904 4294967296 2147483648 -2147483649 01 +1 1.0 1e2 -0 0x10 abc"
).split() + ["", " 1", "1 "]
FLOATS = "0 1 2 3 -1 1.5 -2.25 0.5 3.0 1e3 10 0.1 3.14159".split()
ODD_FLOATS = (
    "inf -inf +inf infinity nan -nan 1e308 -1e308 1e-320 5e-324 1e400 0x10 0x1p3 1e17 123456789012345680 "
    "9007199254740993 0.30000000000000004 1.7976931348623157e308 -0 -0.0 1e16 1e21 1e-7 .5 5. 1e 1.2.3 abc "
    "100000000000000000000 4503599627370497.5 2.5e-5 99999.99999 4294967296"
).split() + ["", " 1", "1 ", "1\n"]
WORDS = list("abcdefgh") + ["foo", "bar", "foobar", "hello world", "é"]
ODD_WORDS = [
    b"", b"\x00", b"\xff\xfe", b"a\r\nb", b"*", b"[a", b"(b", b"-", b"+", b"x" * 44, b"x" * 45, b"y" * 63, b"y" * 64,
    b"y" * 65, b"z" * 1023, b"z" * 1025, b"w" * 5000, b"NX", b"COUNT", b"LIMIT", b"0", b"-0", b"00",
]
PATTERNS = ["*", "s*", "?:*", "*[0-3]", "*:[^1]", "[a-c]*", "\\*", "*a*b*", "", "h:0", "k[", "[z-a]*", "*\\", "nope"]
LEX = "- + [a (a [c (c [f (f [foo (h [ ( a".split() + ["[", "[\x00"]
SCORES_OF_RANGES = "-inf +inf (0 (1 0 1 2 3 5 (5 -1 (-1 1.5 (inf inf -inf (-inf 10 abc ( (abc".split()
UNITS_OF_TIME = "100 1000 5000 86400".split()
ODD_TIMES = "0 -1 -100 9223372036854775807 9223372036854775 9223372036854775000 99999999999 -9223372036854775808 abc 1.5".split()


class Grammar:
    """Makes requests."""

    def __init__(self, rng, docs):
        self.rng = rng
        self.docs = docs
        self.groups = {name: group for group, names in GROUPS.items() for name in names}
        self.oddity = 0.05
        self.streams = types.streams.Streams(self)

    def any_of(self, usual, odd=None, odd_share=None):
        share = self.oddity if odd_share is None else odd_share
        pool = odd if odd and self.rng.random() < share else usual
        value = self.rng.choice(pool)
        return value if isinstance(value, bytes) else value.encode()

    def key(self, group):
        roll = self.rng.random()
        if roll < 0.02:
            return self.rng.choice([b"", b"\x00k\xff", b"k\r\n", b"x" * 300])
        kinds = KEY_POOLS.get(group) if roll < 0.93 else None
        kind = self.rng.choice(kinds or "shltzbpg")
        return b"%s:%d" % (kind.encode(), self.rng.randrange(4))

    def word(self):
        roll = self.rng.random()
        if roll < 0.25:
            return self.any_of(INTEGERS, ODD_INTEGERS)
        if roll < 0.32:
            return self.any_of(FLOATS, ODD_FLOATS)
        if roll < 0.36:
            return str(self.rng.randrange(-40000, 40000)).encode()
        if roll < 0.39:
            return bytes(self.rng.randrange(256) for _ in range(self.rng.randrange(12)))
        return self.any_of(WORDS, ODD_WORDS)

    def cased(self, word):
        if self.rng.random() < 0.9:
            return word.encode()
        return "".join(self.rng.choice([letter.upper(), letter.lower()]) for letter in word).encode()

    def request(self, name):
        """A request for the command `name` (`container|sub` for a subcommand)."""
        if name in self.streams.names:
            return self.streams.request(name)
        args = [self.cased(word.upper()) for word in name.split("|")]
        self.counted = []
        self.keys_made = 0
        for argument in self.docs[name].get("arguments", []):
            self.argument(args, name, argument)
        self.fill_counts(args)
        if self.rng.random() < self.oddity:
            self.spoil(args)
        return self.tamed(name, args)

    def tamed(self, name, args):
        """The request without what would say nothing: see the reasons."""
        if name in ("zrank", "zrevrank"):
            return args[:3]  # Ours takes an option that is younger than the reference.
        if name in ("srandmember", "hrandfield", "zrandmember") and len(args) > 2:
            if args[2][:1] == b"-" and b"-9223372036854775808" != args[2] and len(args[2]) > 5:
                args[2] = b"-10"  # The reference would fill its memory with a reply.
        if name == "sort" and any(arg.lower() == b"store" for arg in args):
            args = [arg for arg in args if arg.lower() != b"alpha"]  # What is equal as text has no order.
        if "lex" in name or any(arg.lower() == b"bylex" for arg in args):
            # Ranges of members mean something only where all scores are equal: in sorted sets with names of their own.
            place = 2 if name == "zrangestore" else 1
            if len(args) > place:
                args[place] = b"x:%d" % self.rng.randrange(3)
        if name == "zadd" and self.rng.random() < 0.2:
            args = [args[0], b"x:%d" % self.rng.randrange(3)]
            args += [part for _ in range(self.rng.randrange(1, 5)) for part in (b"0", self.word())]
        return args

    def fill_counts(self, args):
        for at in self.counted:
            right = self.rng.random() > self.oddity
            args[at] = str(self.keys_made).encode() if right else self.any_of(INTEGERS, ODD_INTEGERS)

    def argument(self, args, name, argument):
        flags = argument.get("flags", [])
        if "optional" in flags and self.rng.random() < 0.65:
            return
        times = 1
        if "multiple" in flags:
            times = self.rng.choice([1, 1, 2, 2, 3, 4])
            if argument["name"] == "weight" and self.rng.random() > self.oddity:
                times = self.keys_made
        for nth in range(times):
            if "token" in argument and (nth == 0 or "multiple_token" in flags):
                args.append(self.cased(argument["token"]))
            self.value(args, name, argument)

    def value(self, args, name, argument):
        kind = argument["type"]
        if kind == "oneof":
            self.argument(args, name, self.rng.choice(argument["arguments"]) | {"flags": []})
        elif kind == "block":
            for inner in argument["arguments"]:
                self.argument(args, name, inner)
        elif kind == "key":
            self.keys_made += 1
            args.append(self.key(self.groups.get(name, "generic")))
        elif kind != "pure-token":
            if argument["name"] == "numkeys":
                self.counted.append(len(args))
            args.append(self.scalar(name, argument))

    def scalar(self, command, argument):
        kind, name = argument["type"], argument["name"]
        ours = types.scalar(self, command, argument)
        if ours is not None:
            return ours
        if name in ("seconds", "milliseconds"):
            # Long enough for a round, whatever the unit.
            return self.any_of(UNITS_OF_TIME, ODD_TIMES) + (b"000" if name == "milliseconds" else b"")
        if kind == "unix-time":
            return self.date(name)
        if kind == "pattern":
            return self.any_of(PATTERNS)
        if name in ("min", "max", "start", "stop") and command.startswith("z"):
            return self.range_end(command)
        if name in ("index", "db", "destination-db", "index1", "index2"):
            return self.any_of(["0", "0", "1", "2"] if "db" in name else ["0", "1"], ["16", "-1", "abc", "99999999999"])
        if kind == "integer":
            return self.any_of(["0"]) if name == "cursor" else self.any_of(INTEGERS, ODD_INTEGERS)
        if kind == "double":
            return self.any_of(FLOATS, ODD_FLOATS, 0.15)
        return self.word()

    def date(self, name):
        scale = 1000 if "milli" in name else 1
        now = int(time.time()) * scale
        ahead = now + 1000 * scale * self.rng.randrange(1, 5)
        return self.any_of([str(ahead), str(ahead), str(now - 10 * scale), "1"], ODD_TIMES)

    def range_end(self, command):
        if "lex" in command:
            return self.any_of(LEX)
        if "score" in command or command == "zcount":
            return self.any_of(SCORES_OF_RANGES)
        if "rank" in command or command == "zrevrange":
            return self.any_of(INTEGERS, ODD_INTEGERS)
        return self.any_of(self.rng.choice([INTEGERS, INTEGERS, LEX, SCORES_OF_RANGES]))

    def spoil(self, args):
        """Makes a request wrong, or at least unusual."""
        at = self.rng.randrange(1, len(args)) if len(args) > 1 else 0
        way = self.rng.randrange(5)
        if way == 0 and at:
            del args[at]
        elif way == 1:
            args.append(self.word())
        elif way == 2 and at:
            args[at] = self.word()
        elif way == 3 and at:
            args.insert(at, args[at])
        elif at:
            other = self.rng.randrange(1, len(args))
            args[at], args[other] = args[other], args[at]


def read_docs(client, names):
    """The grammar of these commands, from the reference."""
    top = sorted({name.split("|")[0] for name in names})
    client.call("HELLO", 3)
    reply = client.call("COMMAND", "DOCS", *top)
    docs = {}

    def plain(frame):
        kind, content = frame
        if kind in "*~":
            return [plain(item) for item in content]
        if kind == "%":
            return {plain(key): plain(value) for key, value in zip(content[::2], content[1::2])}
        return content.decode() if isinstance(content, bytes) else content

    for name, doc in plain(reply).items():
        docs[name] = doc
        docs.update(doc.get("subcommands", {}))
    return docs
