"""What the grammar has to know about bitmaps, HyperLogLogs, places and streams.

Each of the functions says nothing (`None`) about what it does not know.
"""

import grammar_streams as streams

GROUPS = {
    **streams.GROUP,
    "sorting": "sort sort_ro".split(),
    "bitmap": "bitcount bitfield bitfield_ro bitop bitpos getbit setbit".split(),
    "hyperloglog": "pfadd pfcount pfmerge pfdebug".split(),
    "geo": (
        "geoadd geodist geohash geopos georadius georadiusbymember georadiusbymember_ro georadius_ro geosearch "
        "geosearchstore"
    ).split(),
}

KEY_POOLS = {"sorting": "llttzz", "bitmap": "bbbs", "hyperloglog": "ppppb", "geo": "gggggz"}

WEIGHTS = {**streams.WEIGHT, "sorting": 8, "bitmap": 12, "hyperloglog": 8, "geo": 14}

THRESHOLDS = {**streams.THRESHOLDS, "hll-sparse-max-bytes": ["3000", "40", "0"]}

SORT_PATTERNS = ["s:*", "h:*->a", "h:*->foo", "nosort", "nosort", "#", "*", "l:*", "h:*->", "s:*x->y"]
ENCODINGS = "u1 u2 u4 u8 u13 u31 u32 u63 i1 i2 i5 i8 i16 i33 i63 i64".split()
ODD_ENCODINGS = "u64 i65 i0 u0 8 x8 i i-1 U8".split() + [b"u8\0x"]
BIT_OFFSETS = "0 1 2 3 7 8 9 15 16 31 33 63 64 65 100 127 255 300 1000 5000".split()
ODD_BIT_OFFSETS = "-1 4294967296 34359738367 9223372036854775807 abc 1.5 #1".split() + [""]
BIT_RANGE = "0 1 2 3 5 7 8 9 10 15 40 -1 -2 -3 -8 -9 -16 -40 100".split()
BIT_OPERATIONS = "AND AND OR OR XOR NOT".split()
LONGITUDES = "0 13.361389 15.087269 -122.4194 2.3522 179.999 -179.9 180 -180 13.5 13.4 0.0001 100".split()
LATITUDES = "0 38.115556 37.502669 37.7749 48.8566 85.05112878 -85.05112878 66.5 81 -33.8 38.2 0.0001 -67".split()
ODD_DEGREES = "181 -181 86 -86 85.06 nan inf -inf abc 1e400".split() + [""]
LENGTHS = "0 1 10 100 200.5 1000 5000 20000 500000 6000000".split()
ODD_LENGTHS = "-1 nan inf 1e308 abc".split()


def scalar(grammar, command, argument):
    """The value of an argument, if it is one of ours."""
    name = argument["name"]
    if command.startswith("geo"):
        return _geo(grammar, name)
    if command.startswith("bit") or command in ("setbit", "getbit"):
        return _bit(grammar, command, name)
    if command.startswith("sort") and name == "pattern":
        return grammar.any_of(SORT_PATTERNS)
    if command.startswith("sort") and name in ("offset", "count"):
        return grammar.any_of(["0", "1", "2", "10", "-1"], ["abc", "9223372036854775807"])
    if command == "pfdebug" and name == "subcommand":
        return grammar.any_of(["getreg", "decode", "encoding", "todense", "nope"])
    if command == "pfadd" and grammar.rng.random() < 0.5:
        return b"e%d" % grammar.rng.randrange(100000)
    return None


def _geo(grammar, name):
    if name == "longitude":
        return grammar.any_of(LONGITUDES, ODD_DEGREES) if grammar.rng.random() < 0.6 else _near(grammar, 13.361389)
    if name == "latitude":
        return grammar.any_of(LATITUDES, ODD_DEGREES) if grammar.rng.random() < 0.6 else _near(grammar, 38.115556)
    if name in ("radius", "width", "height"):
        return grammar.any_of(LENGTHS, ODD_LENGTHS)
    if name == "count":
        return grammar.any_of(["1", "2", "3", "10"], ["0", "-1", "abc"])
    return None


def _near(grammar, centre):
    return f"{centre + grammar.rng.uniform(-0.5, 0.5):.6f}".encode()


def _bit(grammar, command, name):
    if name == "encoding":
        return grammar.any_of(ENCODINGS, ODD_ENCODINGS)
    if name == "offset":
        fields = command.startswith("bitfield") and grammar.rng.random() < 0.4
        usual = [f"#{n}" for n in range(12)] if fields else BIT_OFFSETS
        return grammar.any_of(usual, ODD_BIT_OFFSETS, 0.03)
    if name == "operation":
        return grammar.any_of(BIT_OPERATIONS, ["nope", "diff"])
    if name == "bit" or (command == "setbit" and name == "value"):
        return grammar.any_of(["0", "1"], ["2", "-1", "abc"])
    if name in ("start", "end"):
        return grammar.any_of(BIT_RANGE, ["9223372036854775807", "-9223372036854775808", "abc"])
    return None
