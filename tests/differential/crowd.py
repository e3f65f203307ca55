"""Several clients at once: waiting, listening, watching, transactions; what each gets, and in which order.

Law: steps are done one after the other; after each of them every client is heard until it is quiet, so that what comes
belongs to that step. Both servers must say the same to every client, except for the order of what is not one order
(messages of one step to one client over several subscriptions).
"""

import itertools
import random
import select
import time

import known
from compare import TIME_SLACK_MS, line, near, same
from wire import Client, Closed, Silent, show

CLIENTS = 4
STEPS = 60
QUIET_S = 0.003
# How long one server may be behind the other before what they said is compared.
UNLIKE_MAX_S = 5
SHRINK_SECONDS = 40
# What may come at any time, also between replies to pipelined requests.
MESSAGES = (b"message", b"pmessage", b"smessage", b"invalidate")
KEYS = ["l:0", "l:1", "z:0", "z:1"]
CHANNELS = ["c:0", "c:1", "__keyspace@0__:l:0", "__keyevent@0__:lpush"]
PATTERNS = ["c:*", "*", "__key*"]
MODES = {
    "plain": {"notify-keyspace-events": ""},
    "events": {"notify-keyspace-events": "KEA"},
    "all events": {"notify-keyspace-events": "KEAmn"},
}


class Difference(Exception):
    """The servers do not agree."""

    def __init__(self, text, at):
        super().__init__(text)
        self.at = at


class Round:
    """What one round does, so that it can be done again."""

    def __init__(self, seed, _docs=None):
        self.rng = random.Random(seed)
        self.protocol = self.rng.choice([2, 3])
        self.mode = self.rng.choice(list(MODES))
        self.steps = [self.step() for _ in range(STEPS)]

    def word(self, words):
        return self.rng.choice(words).encode()

    def step(self):
        """A client and a request of it."""
        client = self.rng.randrange(CLIENTS)
        listen = client >= CLIENTS - 1 and self.rng.random() < 0.4
        return client, self.listening() if listen else self.request()

    def listening(self):
        kind = self.rng.choice(["SUBSCRIBE", "SUBSCRIBE", "UNSUBSCRIBE", "PSUBSCRIBE", "PUNSUBSCRIBE", "SSUBSCRIBE"])
        names = PATTERNS if kind[0] == "P" else CHANNELS
        return [kind.encode(), *(self.word(names) for _ in range(self.rng.choice([0, 1, 2]) if "UN" in kind else 1))]

    def request(self):
        key, other = self.word(KEYS), self.word(KEYS)
        lists, zsets = self.word(KEYS[:2]), self.word(KEYS[2:])
        value = self.word(list("abc"))
        side, side2 = self.word(["LEFT", "RIGHT"]), self.word(["LEFT", "RIGHT"])
        waiting = [
            [b"BLPOP", lists, other, b"0"], [b"BRPOP", lists, b"0"], [b"BLMOVE", lists, self.word(KEYS[:2]), side, side2, b"0"],
            [b"BRPOPLPUSH", lists, self.word(KEYS[:2]), b"0"], [b"BLMPOP", b"0", b"2", lists, other, side, b"COUNT", b"2"],
            [b"BZPOPMIN", zsets, b"0"], [b"BZPOPMAX", key, zsets, b"0"], [b"BZMPOP", b"0", b"1", zsets, b"MIN"],
        ]
        writing = [
            [b"LPUSH", lists, value], [b"RPUSH", lists, value, b"d", b"e"], [b"RPUSH", key, value], [b"LPOP", lists],
            [b"ZADD", zsets, b"1", value], [b"ZADD", zsets, b"1", value, b"2", b"d"], [b"ZPOPMIN", zsets], [b"DEL", key],
            [b"RENAME", key, other], [b"SET", key, value], [b"LMOVE", lists, self.word(KEYS[:2]), side, side2],
            [b"COPY", key, other], [b"FLUSHALL"], [b"SWAPDB", b"0", b"1"], [b"PEXPIRE", key, self.word(["100000", "-1"])], [b"LREM", lists, b"0", value],
            [b"SADD", key, value], [b"GETSET", key, value], [b"APPEND", key, value], [b"INCR", key], [b"PERSIST", key],
        ]
        other_things = [
            [b"MULTI"], [b"EXEC"], [b"EXEC"], [b"DISCARD"], [b"WATCH", key], [b"UNWATCH"], [b"PUBLISH", self.word(CHANNELS), value],
            [b"SPUBLISH", self.word(CHANNELS), value], [b"PING"], [b"PUBSUB", b"NUMSUB", *(c.encode() for c in CHANNELS)],
            [b"PUBSUB", b"NUMPAT"], [b"EXISTS", key, other], [b"LRANGE", lists, b"0", b"-1"], [b"GET", key], [b"RESET"],
            [b"SELECT", self.word(["0", "0", "1"])], [b"CLIENT", b"UNBLOCK", b"@%d" % self.rng.randrange(CLIENTS), self.word(["TIMEOUT", "ERROR"])],
            [b"CLIENT", b"TRACKING", self.word(["ON", "OFF"])], [b"CLIENT", b"TRACKING", b"ON", b"BCAST"], [b"CLIENT", b"TRACKINGINFO"],
        ]
        family = self.rng.choices([waiting, writing, other_things], [25, 45, 30])[0]
        return self.rng.choice(family)

    def run(self, peers, steps):
        crowds = [Crowd(peer, self.protocol, MODES[self.mode]) for peer in peers]
        try:
            self.ended_all = set()
            for at, (client, args) in enumerate(steps):
                if is_end_of_all(args):
                    self.ended_all.add(client)
                for crowd in crowds:
                    crowd.send(client, args)
                heard = hear(crowds)
                if swap_woke_several(client, args, heard):
                    return
                if several_went_on(client, heard):
                    return self.judge_first(at, client, args, heard)
                self.judge(at, client, args, heard)
            self.judge_end(crowds, len(steps))
        finally:
            for crowd in crowds:
                crowd.close()

    def judge(self, at, client, args, heard):
        for number, (a, b) in enumerate(zip(*heard)):
            if not alike(args, a, b, number in self.ended_all):
                text = f"  client {number} after client {client} said {line(args)}\n    reference: {tell(a)}\n    ours:      {tell(b)}"
                raise Difference(text, at)

    def judge_first(self, at, client, args, heard):
        """As `judge`, for the first reply to each client that was set free."""
        firsts = [[[frame for frame in frames if not is_message(frame)][:1] for frames in lists] for lists in heard]
        for number, (a, b) in enumerate(zip(*firsts)):
            if number != client and a != b and not torn(a):
                text = f"  client {number} set free by client {client}, which said {line(args)}\n    reference: {tell(a)}\n    ours:      {tell(b)}"
                raise Difference(text, at)

    def judge_end(self, crowds, at):
        digests = [crowd.control.call("DEBUG", "DIGEST") for crowd in crowds]
        if digests[0] != digests[1]:
            raise Difference(f"  DEBUG DIGEST\n    reference: {digests[0]}\n    ours:      {digests[1]}", at)


class Crowd:
    """The clients of one server."""

    def __init__(self, peer, protocol, settings):
        self.peer = peer
        self.control = Client(peer.port)
        for name, value in settings.items():
            self.control.call("CONFIG", "SET", name, value)
        self.control.call("FLUSHALL")
        self.control.call("DEBUG", "SET-ACTIVE-EXPIRE", "0")
        self.clients = [Client(peer.port) for _ in range(CLIENTS)]
        for client in self.clients:
            client.call("HELLO", protocol)
        self.ids = [client.call("CLIENT", "ID")[1] for client in self.clients]

    def send(self, client, args):
        # "@2" stands for the number that the server has given to client 2.
        self.clients[client].send([b"%d" % self.ids[int(arg[1:])] if arg[:1] == b"@" else arg for arg in args])

    def close(self):
        for client in [self.control, *self.clients]:
            client.close()


def hear(crowds):
    """What every client of both crowds gets until it is quiet; while one side has got less than the other, it is waited for."""
    for crowd in crowds:
        crowd.control.call("PING")  # Sent later than the step: whoever answers it has done the step.
    heard = [[[] for _ in range(CLIENTS)] for _ in crowds]
    places = {client.socket: (client, frames) for crowd, lists in zip(crowds, heard) for client, frames in zip(crowd.clients, lists)}
    deadline = time.monotonic() + UNLIKE_MAX_S
    while True:
        ready, _, _ = select.select(list(places), [], [], QUIET_S)
        for socket in ready:
            client, frames = places[socket]
            found, closed = client.frames_at_hand()
            frames += found
            if closed:
                frames.append(("closed", None))
                del places[socket]
        counts = [[len(frames) for frames in lists] for lists in heard]
        if not ready and (counts[0] == counts[1] or time.monotonic() > deadline):
            return heard


def swap_woke_several(client, args, heard):
    """Whether SWAPDB answered several clients that waited. Redis serves them in the order of a hash table with a random
    seed, and that order decides what the requests behind their waiting find: from here on there is nothing to compare."""
    replies = [[frame for frame in frames if not is_message(frame)] for frames in heard[0]]
    return args[0] == b"SWAPDB" and sum(1 for number, frames in enumerate(replies) if frames and number != client) > 1


def several_went_on(client, heard):
    """Whether several clients were set free in one step, and one of them at least had sent more meanwhile. Redis goes on
    with them one after the other, ours side by side, as with any clients whose requests are there at the same time: what
    they find of each other is not said from here on."""
    replies = [[frame for frame in frames if not is_message(frame)] for frames in heard[0]]
    others = [frames for number, frames in enumerate(replies) if frames and number != client]
    return len(others) > 1 and any(len(frames) > 1 for frames in others)


def is_message(frame):
    kind, content = frame
    return kind in "*>" and content and content[0][0] == "$" and content[0][1] in MESSAGES


def messages_of(frames):
    """The messages, in no order; invalidated keys as one set, because nobody promises how many of them a message names."""
    messages, keys = [], set()
    for frame in filter(is_message, frames):
        content = frame[1]
        if content[0][1] == b"invalidate":
            keys.update(map(repr, content[1][1] or [None]))
        else:
            messages.append(repr(frame))
    return sorted(messages), keys


def is_end_of_all(args):
    """Whether this is an UNSUBSCRIBE from everything: nobody promises in which order its confirmations name what ends."""
    return b"UNSUBSCRIBE" in args[0] and len(args) == 1


def unordered_ends(frames):
    """The same with the names in order, within each row of confirmations of one kind."""
    def kind_of(frame):
        kind, content = frame
        found = kind in "*>" and content and content[0][0] == "$" and content[0][1] or b""
        return found if found.endswith(b"unsubscribe") else None

    ordered = []
    for kind, row in itertools.groupby(frames, kind_of):
        row = list(row)
        if kind:
            names = sorted((frame[1][1] for frame in row), key=repr)
            row = [(frame[0], [frame[1][0], name, frame[1][2]]) for frame, name in zip(row, names)]
        ordered += row
    return ordered


def torn(frames):
    """Whether a message stands within a reply."""
    inner = [item for kind, content in frames if kind in "*%~" and content for item in content]
    return any(item[0] == ">" or is_message(item) for item in inner) or (inner and torn(inner))


def leaves(frames):
    """What is left when replies are no longer held together: their parts and the messages, in no order."""
    parts = []
    for frame in frames:
        kind, content = frame
        parts += leaves(content) if kind in "*%~" and content else [repr(frame)]
    return sorted(parts)


def alike(args, a, b, ended_all):
    """Whether two clients got the same; messages of one step may come in any order, replies may not, nor the ends of
    subscriptions, unless this client has ended all it had."""
    if torn(a):
        # Redis 7.0 puts events that a client of RESP3 listens to into the middle of its replies, and in RESP2 those of the
        # rest of a transaction in which it subscribed, so that nobody can read them. Ours puts them before.
        return leaves(a) == leaves(b)
    x, y = ([frame for frame in frames if not is_message(frame)] for frames in (a, b))
    (told_a, keys_a), (told_b, keys_b) = messages_of(a), messages_of(b)
    # Redis tells nobody when SWAPDB brings a list to somebody who waits for it, and it is popped. Ours does.
    extra = keys_b - keys_a if args[0] == b"SWAPDB" and keys_a <= keys_b else set()
    # Redis collects changes until it has served everybody, and so tells a client that was set free by a change, and then
    # asked for broadcasts, of that change, and not one that then asked for none. Ours tells those who had asked before.
    asked = args[0] not in (b"CLIENT", b"RESET") and (("+", b"OK") in x or ("+", b"RESET") in x)
    late, early = (keys_a - keys_b, keys_b - keys_a) if asked else (set(), set())
    if told_a != told_b or keys_a - late != keys_b - extra - early or len(x) != len(y):
        return False
    if ended_all:
        # It may have been sent long ago, behind a request that waited.
        x, y = unordered_ends(x), unordered_ends(y)
    slack = TIME_SLACK_MS if b"EXPIRE" in args[0] else 0
    return all(p == q or same(args, p, q) or known.excuse(args, p, q) or near(p, q, slack) for p, q in zip(x, y))


def tell(frames):
    return "; ".join(show(frame) if frame[0] != "closed" else "closed" for frame in frames) or "nothing"


def line_of(step):
    return f"[{step[0]}] {line(step[1])}"


def fails(this, peers, steps):
    """The difference that these steps lead to, if any."""
    if not all(peer.alive() for peer in peers):
        return None
    try:
        this.run(peers, steps)
    except Difference as found:
        return found
    except (Closed, Silent, OSError) as fault:
        states = [f"{peer.name}: {'alive' if peer.alive() else peer.output()}" for peer in peers]
        return Difference(f"  {type(fault).__name__}: {fault}\n" + "\n".join(states), len(steps))
    return None


def shrink(this, peers, found):
    """Fewer steps that still fail, and how they fail."""
    deadline = time.monotonic() + SHRINK_SECONDS
    steps = this.steps[: found.at + 1]
    piece = max(1, len(steps) // 2)
    while piece >= 1 and time.monotonic() < deadline:
        start, removed = 0, False
        while start < len(steps) and time.monotonic() < deadline:
            fewer = steps[:start] + steps[start + piece :]
            again = fails(this, peers, fewer) if fewer else None
            if again:
                steps, found, removed = fewer[: again.at + 1], again, True
            else:
                start += piece
        piece = piece if removed and piece == 1 else piece // 2
    return steps, found
