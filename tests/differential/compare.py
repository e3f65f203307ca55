"""Whether two replies to the same request say the same.

Law: equal means equal byte for byte, in the same protocol. What is left out is named here: an order that nobody
promises, a choice made by chance, a time. Everything else that may differ is in `known.py`, with its reason.
"""

from grammar_streams import without_times
from wire import show

# Milliseconds by which times may differ: the request reaches one server after the other.
TIME_SLACK_MS = 5000

UNORDERED = {b"smembers", b"sinter", b"sunion", b"sdiff", b"keys", b"hkeys", b"hvals", b"pubsub|channels", b"config|get"}
PAIRED = {b"hgetall", b"config|get"}
BY_CHANCE = {b"srandmember", b"hrandfield", b"zrandmember", b"randomkey"}
IN_MILLISECONDS = {b"pttl", b"pexpiretime"}
IN_SECONDS = {b"ttl", b"expiretime", b"object|idletime"}
ANY_VALUE = {
    b"time", b"memory|usage", b"client|id", b"client|list", b"client|info", b"command|count", b"command", b"info", b"debug|object",
    b"lastsave", b"scan", b"sscan", b"hscan", b"zscan",
}
CONTAINERS = {b"pubsub", b"config", b"memory", b"client", b"command", b"object", b"debug", b"xinfo", b"xgroup"}


def name_of(args):
    """The name of the command that a request calls."""
    name = args[0].lower()
    if name in CONTAINERS and len(args) > 1:
        return name + b"|" + args[1].lower()
    return name


def shape(frame):
    """What is left of a frame when only its form counts."""
    kind, content = frame
    if kind in "*%~>" and content is not None:
        return (kind, [shape(item) for item in content])
    return (kind, content is None)


def pairs(frame):
    """A map, or an array of keys and values, without its order."""
    kind, content = frame
    if kind not in "*%" or content is None:
        return frame
    return (kind, sorted(map(repr, zip(content[::2], content[1::2]))))


def unordered(frame):
    kind, content = frame
    if kind not in "*~" or content is None:
        return frame
    return (kind, sorted(map(repr, content)))


def as_many(a, b):
    """Whether two replies are arrays of the same length."""
    return a[0] == b[0] == "*" and (a[1] is None) == (b[1] is None) and len(a[1] or ()) == len(b[1] or ())


def leaves_order_open(args, words):
    """Whether SORT does not say in which order all elements come: those whose texts are equal, or missing, have no order,
    nor has a set that is not sorted."""
    return {b"by", b"alpha"} <= words or any(b"nosort" in arg or arg == b"#" for arg in args)


def without_id(frame):
    """The reply to HELLO without the number of the connection."""
    kind, content = frame
    if kind not in "*%":
        return frame
    return (kind, [item for key, value in zip(content[::2], content[1::2]) if key[1] != b"id" for item in (key, value)])


def near(a, b, slack):
    if a[0] == b[0] == ":" and a[1] >= 0 and b[1] >= 0:
        return abs(a[1] - b[1]) <= slack
    return a == b


def same(args, a, b):
    """Whether `a` and `b` are the same reply to `args`."""
    if a == b:
        return True
    name = name_of(args)
    if name in IN_MILLISECONDS:
        return near(a, b, TIME_SLACK_MS)
    if name in IN_SECONDS:
        return near(a, b, TIME_SLACK_MS / 1000)
    if name in PAIRED:
        return pairs(a) == pairs(b)
    if name in UNORDERED:
        return unordered(a) == unordered(b)
    words = {arg.lower() for arg in args}
    if name in (b"sort", b"sort_ro") and leaves_order_open(args, words):
        return as_many(a, b) if b"limit" in words else unordered(a) == unordered(b)
    if name.startswith((b"xinfo", b"xpending")):
        return without_times(a) == without_times(b)
    if name == b"hello":
        return without_id(a) == without_id(b)
    if name in BY_CHANCE:
        return shape(a) == shape(b) and (a[0] != "-")
    if name in ANY_VALUE:
        return a[0] == b[0] != "-" and (a[1] is None) == (b[1] is None)
    return False


def difference(args, a, b, queued=(), excuse=lambda args, a, b: None):
    """Nothing, or what is different, as lines to read."""
    if args[0].lower() == b"exec" and a[0] == b[0] == "*" and a[1] and b[1] and len(a[1]) == len(b[1]) == len(queued):
        found = [difference(q, x, y, (), excuse) for q, x, y in zip(queued, a[1], b[1])]
        found = [text for text in found if text]
        return "\n".join(found) if found else None
    if same(args, a, b) or excuse(args, a, b):
        return None
    return f"  {line(args)}\n    reference: {show(a)}\n    ours:      {show(b)}"


def line(args, limit=200):
    """A request as one would type it."""
    words = []
    for arg in args:
        text = arg.decode("latin-1")
        plain = text and all(33 <= ord(letter) < 127 and letter not in "\"'\\" for letter in text)
        word = text if plain else '"' + "".join(_escaped(byte) for byte in arg) + '"'
        words.append(word if len(word) <= limit else f"{word[:limit]}...({len(arg)} bytes)")
    return " ".join(words)


def _escaped(byte):
    if byte in b'"\\':
        return "\\" + chr(byte)
    return chr(byte) if 32 <= byte < 127 else f"\\x{byte:02x}"
