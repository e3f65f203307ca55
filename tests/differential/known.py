"""Differences that are meant, or that we live with: each with its name and its reason.

Law: an entry says when it applies as narrowly as it can. The list is short, and shrinks.
"""

from compare import same

KNOWN = []


def known(name, reason):
    """Registers a difference; the function says whether it explains these two replies."""

    def register(applies):
        KNOWN.append((name, reason, applies))
        return applies

    return register


def excuse(args, a, b):
    """The name of the known difference that explains two replies, if there is one."""
    for name, _, applies in KNOWN:
        if applies(args, a, b):
            return name
    return None


@known(
    "timeout-out-of-range",
    "A time-out beyond 2^63 milliseconds overflows in Redis 7.0 and is then called negative; ours says what is wrong, in "
    "the words of Valkey.",
)
def _(args, a, b):
    return a == ("-", b"ERR timeout is negative") and b == ("-", b"ERR timeout is out of range")


@known(
    "lpos-rank-minimum",
    "RANK -2^63 has no positive counterpart; Redis 7.0 negates it into itself. Ours refuses it, as Valkey does.",
)
def _(args, a, b):
    return args[0].lower() == b"lpos" and b"-9223372036854775808" in args and b == ("-", b"ERR value is out of range")


@known(
    "errors-cut-at-nul",
    "Redis prints what a client sent as a C string, which a NUL byte ends. Ours prints all of it.",
)
def _(args, a, b):
    def cut(text, arg):
        return text.replace(arg, arg.split(b"\0")[0]) if b"\0" in arg else text

    text = b[1]
    for arg in args if a[0] == b[0] == "-" else ():
        text = cut(text, arg)
    return a[0] == b[0] == "-" and a[1] == text != b[1]


@known(
    "sort-converts",
    "SORT turns a compact sorted set into a skip list, for good. Ours reads it as it is.",
)
def _(args, a, b):
    return args[0].lower() == b"object" and (a, b) == (("$", b"skiplist"), ("$", b"listpack"))


@known(
    "sort-converts, with -0",
    "What the former leads to: a skip list tells -0 from 0, and a compact sorted set, which ours still is, does not. With "
    "a negative weight it is the other way round.",
)
def _(args, a, b):
    def without_sign(frame):
        kind, content = frame
        if isinstance(content, list):
            return kind, [without_sign(item) for item in content]
        return (kind, b"0") if content == b"-0" else frame

    return args[0].lower().startswith((b"z", b"bz")) and without_sign(a) == without_sign(b)


@known(
    "refcount-of-copies",
    "Redis shares small integers, but not in the copy that COPY makes. Ours keeps no references, and reports what Redis "
    "reports for every other small integer.",
)
def _(args, a, b):
    return args[0].lower() == b"object" and (a, b) == ((":", 1), (":", 2**31 - 1))


@known(
    "lex-range-of-mixed-scores",
    "A range of members of a sorted set whose scores differ is not defined; in Redis it depends on the random levels of "
    "its skip list.",
)
def _(args, a, b):
    by_lex = b"lex" in args[0].lower() or any(arg.lower() == b"bylex" for arg in args)
    return by_lex and a[0] == b[0] != "-" and not args[1].startswith(b"x:")


@known(
    "order-of-acl-rules",
    "ACL GETUSER and LIST name single commands in the order of a hash table of Redis with a random seed. Ours names them "
    "in alphabetical order.",
)
def _(args, a, b):
    def words(frame):
        kind, content = frame
        if kind == "$" and content is not None:
            return kind, sorted(content.split())
        return (kind, [words(item) for item in content]) if isinstance(content, list) else frame

    return args[0].lower() == b"acl" and a[0] == b[0] and words(a) == words(b)


@known(
    "pfdebug-reads-beyond",
    "PFDEBUG DECODE of a sparse HyperLogLog that ends within an opcode of two bytes: Redis takes the zero behind the string "
    "for the second one. Ours ends where the string ends.",
)
def _(args, a, b):
    is_decode = [arg.lower() for arg in args[:2]] == [b"pfdebug", b"decode"]
    return is_decode and a[0] == b[0] == "$" and a[1].rpartition(b" ")[0] == b[1]


@known(
    "sort-that-does-not-sort",
    "SORT of a set BY a word without a star leaves its members in the order of a hash table, of which LIMIT takes a part; in "
    "Redis that depends on a random seed.",
)
def _(args, a, b):
    words = [arg.lower() for arg in args]
    constant = any(word == b"by" and b"*" not in pattern for word, pattern in zip(words, words[1:]))
    if words[0] not in (b"sort", b"sort_ro") or not constant or not (a[0] == b[0] == "*" and len(a[1]) == len(b[1])):
        return False
    # Without LIMIT all elements come; what GET adds to each of them comes behind it, so that groups are compared.
    size = max(1, words.count(b"get"))
    groups = [sorted(map(repr, zip(*[iter(frame[1])] * size))) for frame in (a, b)]
    return groups[0] == groups[1] or b"limit" in words


@known(
    "sort-alpha-up-to-nul",
    "SORT ALPHA of Redis compares elements as C strings, which a NUL byte ends, unless it stores them. Ours compares all of "
    "them.",
)
def _(args, a, b):
    is_alpha = args[0].lower() in (b"sort", b"sort_ro") and any(arg.lower() == b"alpha" for arg in args[2:])
    if not is_alpha or not (a[0] == b[0] == "*"):
        return False
    has_nul = any(b"\0" in (content or b"") for _, content in a[1])
    return has_nul and sorted(map(repr, a[1])) == sorted(map(repr, b[1]))


@known(
    "sort-and-an-old-error",
    "SORT of Redis looks at errno without having cleared it: after a number out of range anywhere (GEOADD with 1e400) it "
    "calls good numbers bad. Ours sorts them.",
)
def _(args, a, b):
    refused = a == ("-", b"ERR One or more scores can't be converted into double")
    return args[0].lower() in (b"sort", b"sort_ro") and refused and b[0] in "*:"


@known(
    "xadd-and-an-old-error",
    "XADD of MS-* behind MS-18446744073709551615 fails in Redis without saying why, and the error of some earlier command "
    "decides the words. Ours says what is wrong.",
)
def _(args, a, b):
    too_small = b"ERR The ID specified in XADD is equal or smaller than the target stream top item"
    too_large = b"ERR Elements are too large to be stored"
    is_half = args[0].lower() == b"xadd" and any(arg.endswith(b"-*") for arg in args[2:])
    return is_half and (a, b) == (("-", too_large), ("-", too_small))


@known(
    "idle-time-of-shared-integers",
    "Redis has one object for each small integer, and one time of use for all keys that hold it. Ours has a time for each key.",
)
def _(args, a, b):
    return [arg.lower() for arg in args[:2]] == [b"object", b"idletime"] and a[0] == b[0] == ":"


@known(
    "refcount-inside-multi",
    "While a transaction runs, Redis still holds the words of its requests, and the value that one of them set shares one of "
    "them. Ours keeps no references.",
)
def _(args, a, b):
    return [arg.lower() for arg in args[:2]] == [b"object", b"refcount"] and (a, b) == ((":", 2), (":", 1))


@known(
    "memory-of-the-expired",
    "MEMORY USAGE of Redis finds a key whose date has passed, as long as nothing else has looked for it. For ours it is gone.",
)
def _(args, a, b):
    is_usage = [arg.lower() for arg in args[:2]] == [b"memory", b"usage"]
    return is_usage and a[0] == ":" and b in (("$", None), ("_", None))


@known(
    "counts-that-are-no-numbers",
    "COMMAND GETKEYS of Redis reads how many keys there are as C does (' 1' and '1x' are one); the command itself refuses "
    "such a count. Ours refuses it in both places.",
)
def _(args, a, b):
    is_keys = args[0].lower() == b"command" and args[1].lower().startswith(b"getkeys")
    odd = any(not arg.isdigit() and arg.strip()[:1].isdigit() for arg in args[3:])
    return is_keys and odd and a[0] == "*" and b == ("-", b"ERR Invalid arguments specified for command")


@known(
    "counters-of-streams-wrap",
    "Counters of a stream beyond 2^63 - 1 become negative in Redis, which then cannot read its own log. Ours stay at the end.",
)
def _(args, a, b):
    # Only such numbers may differ, and what is computed from them: a lag is a difference of two, or not known.
    def is_beyond(frame):
        kind, content = frame
        if isinstance(content, list):
            return any(map(is_beyond, content))
        return kind == ":" and abs(content) > 2**62

    def without_them(x, y, name=None):
        """The first reply, with the second one's in the place of such numbers."""
        if isinstance(x[1], list) and isinstance(y[1], list) and len(x[1]) == len(y[1]):
            names = [None, *(item[1] for item in x[1])]
            return x[0], [without_them(*pair, name) for *pair, name in zip(x[1], y[1], names)]
        return y if name == b"lag" or any(is_beyond(frame) for frame in (x, y)) else x

    beyond = is_beyond(a) or is_beyond(b)
    return beyond and args[0].lower() in (b"xinfo", b"xpending") and a[0] == b[0] and same(args, without_them(a, b), b)


@known(
    "nodes-without-entries",
    "XTRIM that finds nothing to remove still gives back nodes of which all entries were deleted. Nobody else hears of that, "
    "neither from Redis nor from ours, so that a replay keeps an empty node of an empty stream.",
)
def _(args, a, b):
    def without_nodes(frame):
        pairs = zip(frame[1][::2], frame[1][1::2])
        kept = [pair for pair in pairs if pair[0][1] not in (b"radix-tree-keys", b"radix-tree-nodes")]
        return frame[0], [item for pair in kept for item in pair]

    is_info = [arg.lower() for arg in args[:2]] == [b"xinfo", b"stream"] and a[0] == b[0] and a[0] in "*%"
    is_empty = is_info and without_nodes(a)[1][1] == (":", 0)
    return is_empty and same(args, without_nodes(a), without_nodes(b))


@known(
    "keys-past-their-date-are-counted",
    "DBSIZE counts keys past their date until somebody looks for them, or until the server looks itself: Redis every 100 ms, "
    "ours when the date comes, after the request that was under way. That no other key is missing is what the digest is for.",
)
def _(args, a, b):
    return args[0].lower() == b"dbsize" and a[0] == b[0] == ":" and abs(a[1] - b[1]) <= 4


@known(
    "dates-of-the-same-millisecond",
    "EXPIRE with GT or LT and the time that is left anyway: whether the new date is later depends on whether a millisecond has "
    "passed since the old one was set.",
)
def _(args, a, b):
    conditions = {arg.lower() for arg in args[3:]} & {b"gt", b"lt"}
    return args[0].lower() in (b"expire", b"pexpire") and bool(conditions) and {a, b} == {(":", 0), (":", 1)}
