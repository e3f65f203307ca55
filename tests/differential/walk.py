"""A walk of one client: random requests, in pipelines, over all types; replies, digests and the log are compared.

A round begins with nothing and ends with a digest of all data, on ours also after its log was loaded again. A round
that fails is made as short as it can be before it is shown.
"""

import random
import time

import grammar_types as types
import known
from compare import difference, line, name_of
from grammar import Grammar
from scope import GROUPS, RARE, WEIGHTS
from wire import Client, Closed, Silent, show

THRESHOLDS = {
    "hash-max-listpack-entries": ["512", "4", "0"],
    "hash-max-listpack-value": ["64", "8"],
    "set-max-intset-entries": ["512", "4"],
    "zset-max-listpack-entries": ["128", "4", "0"],
    "zset-max-listpack-value": ["64", "8"],
    "list-max-listpack-size": ["-2", "4"],
    **types.THRESHOLDS,
}
SCANS = {b"scan", b"sscan", b"hscan", b"zscan"}
WAITING = {name.encode() for name in GROUPS["waiting"]}
ENDS_MULTI = {b"exec", b"discard", b"reset"}
DIGEST_EVERY = 150
# Keys that are given this time or less are gone before anything else is asked, so that they are gone for both.
SHORT_LIFE_MS = 20
GIVES_LIFE = {b"pexpire", b"psetex", b"getex", b"set"}
SHRINK_SECONDS = 40


class Difference(Exception):
    """The servers do not agree."""

    def __init__(self, text, at):
        super().__init__(text)
        self.at = at


class Parted(Exception):
    """A known difference has left different data behind: from here on there is nothing to compare."""


class LogUnreadable(Difference):
    """Ours cannot load its own log: what it holds is of all rounds since the start, so this one cannot be made shorter."""


class Session:
    """A client of each server, and what both are in the middle of."""

    def __init__(self, peers):
        self.peers = peers
        self.clients = [Client(peer.port) for peer in peers]
        self.queued = None

    def close(self):
        for client in self.clients:
            client.close()

    def call(self, *args):
        return [client.call(*args) for client in self.clients]

    def pipeline(self, batch):
        """Sends a batch to both and compares reply by reply; `batch` holds pairs of a place and a request."""
        for client in self.clients:
            for _, args in batch:
                client.send(args)
        for at, args in batch:
            a, b = self.frames(at, args)
            self.judge(at, args, a, b)

    def frames(self, at, args):
        found = []
        for client, peer in zip(self.clients, self.peers):
            try:
                found.append(client.frame())
            except (Closed, Silent) as fault:
                how = "closes" if isinstance(fault, Closed) else "is silent"
                raise Difference(f"  {line(args)}\n    {peer.name} {how}\n{peer.output()[-1500:]}", at) from None
        return found

    def judge(self, at, args, a, b):
        text = difference(args, a, b, self.queued or (), known.excuse)
        if text:
            raise Difference(text, at)
        name = args[0].lower()
        stores = name == b"sort" and any(arg.lower() == b"store" for arg in args[2:])
        if stores and a != b and known.excuse(args, a, b) == "sort-and-an-old-error":
            raise Parted
        if a == ("+", b"QUEUED"):
            self.queued.append(args)
        elif name == b"multi" and a[0] == "+":
            self.queued = []
        elif name in ENDS_MULTI:
            self.queued = None

    def pop_and_restore(self, at, args):
        """SPOP takes different members: compares how many, and puts them back."""
        a, b = self.call(*args)
        members = [frame[1] if frame[0] in "*~" else [frame] for frame in (a, b)]
        failed = a[0] == "-" or b[0] == "-"
        if (failed and a != b) or a[0] != b[0] or (a[1] is None) != (b[1] is None) or (
            not failed and len(set(members[0])) != len(set(members[1]))
        ):
            raise Difference(difference(args, a, b) or line(args), at)
        if failed or a[1] is None or not members[0]:
            return
        if a[0] == ":" or a[0] == "+":
            raise Difference(difference(args, a, b) or line(args), at)
        back = [member[1] for member in dict.fromkeys(members[0] + members[1])]
        self.call(b"SADD", args[1], *back)

    def walk_cursor(self, at, args):
        """Follows the cursor of both to the end, and compares all that they returned."""
        name = name_of(args)
        place = 1 if name == b"scan" else 2
        if len(args) <= place or args[place] != b"0":
            return self.pipeline([(at, args)])  # A cursor from nowhere leads anywhere.
        everything = []
        for client in self.clients:
            elements, request = [], list(args)
            for _ in range(10_000):
                reply = client.call(*request)
                if reply[0] != "*":
                    elements = reply
                    break
                cursor, found = reply[1]
                elements += found[1]
                request[place] = cursor[1]
                if cursor[1] == b"0":
                    break
            everything.append(elements)
        a, b = everything
        if isinstance(a, list) and isinstance(b, list):
            bare = name in (b"scan", b"sscan")
            a, b = (set(e) if bare else set(zip(e[::2], e[1::2])) for e in (a, b))
            if name == b"zscan" and a != b:
                # Known as "sort-converts": a skip list prints scores in another way than a compact sorted set.
                scores = [{member: score[1] for member, score in pairs} for pairs in (a, b)]
                a, b = (set(), set()) if are_twins(*scores) else (a, b)
        if a != b:
            text = f"  {line(args)} to the end\n    reference: {a}\n    ours:      {b}"
            raise Difference(text[:3000], at)

    def digest(self, at, when=""):
        a, b = self.call("DEBUG", "DIGEST")
        if a != b:
            a, b = self.digest_without_the_expired()
        if a != b and not self.only_sorted_differ():
            raise Difference(f"  DEBUG DIGEST{when}\n{self.explain()}", at)

    def digest_without_the_expired(self):
        """A key past its date is gone when somebody comes by, and RANDOMKEY comes by where chance has it; SCAN comes by at all."""
        for db in range(3):
            self.call("SELECT", db)
            self.call("SCAN", "0", "COUNT", "1000000")
        return self.call("DEBUG", "DIGEST")

    def differing(self):
        """Database and name of the keys whose values or dates differ; the databases are selected on the way."""
        for db in range(3):
            self.call("SELECT", db)
            for key in sorted({key[1] for reply in self.call("KEYS", "*") for key in reply[1]}):
                a, b = self.call(b"DEBUG", b"DIGEST-VALUE", key)
                undated = [date[1] < 0 for date in self.call(b"PEXPIRETIME", key)]
                if a != b or undated[0] != undated[1]:
                    yield db, key

    def only_sorted_differ(self):
        """Whether all that differs is known as "sort-converts": a skip list tells -0 from 0, and a compact sorted set does not."""
        found = 0
        for _, key in self.differing():
            found += 1
            # Ours may have lost the sign of a zero as a compact sorted set, and have grown into a skip list since.
            reference, ours = self.call(b"OBJECT", b"ENCODING", key)
            if reference != ("$", b"skiplist") or ours not in (("$", b"listpack"), ("$", b"skiplist")):
                return False
            scores = [
                {member[1]: score[1] for member, score in zip(flat[::2], flat[1::2])}
                for flat in (self.flat_range(client, key) for client in self.clients)
            ]
            if not are_twins(*scores):
                return False
        return found > 0

    @staticmethod
    def flat_range(client, key):
        """Members and scores, one after the other, in either protocol."""
        items = client.call(b"ZRANGE", key, b"0", b"-1", b"WITHSCORES")[1]
        return [part for item in items for part in (item[1] if item[0] == "*" else [item])]

    def groups(self, at):
        """Compares what the digest leaves out: consumer groups and what streams remember."""
        for db in range(3):
            self.call("SELECT", db)
            for key in sorted({key[1] for reply in self.call("KEYS", "*") for key in reply[1]}):
                if self.call(b"TYPE", key)[0] == ("+", b"stream"):
                    args = [b"XINFO", b"STREAM", key, b"FULL", b"COUNT", b"0"]
                    self.judge(at, args, *self.call(*args))

    def explain(self):
        """The keys that make the digests differ."""
        lines = []
        for db, key in self.differing():
            kinds, dates = self.call(b"TYPE", key), self.call(b"PEXPIRETIME", key)
            lines.append(f"    db {db} {line([key])}: {kinds[0][1]} {dates[0][1]} / {kinds[1][1]} {dates[1][1]}")
        sizes = self.call("DBSIZE")
        return "\n".join(lines[:10]) or f"    no key explains it; DBSIZE {sizes[0][1]} / {sizes[1][1]}"


def are_twins(scores, ours):
    """Whether a skip list and a compact sorted set hold the same: they print scores in their own ways, and only the former
    tells -0 from 0."""
    def same_score(a, b):
        return float(a) == float(b) and not (str(float(b)) == "-0.0" and str(float(a)) == "0.0")

    return scores.keys() == ours.keys() and all(same_score(score, ours[member]) for member, score in scores.items())


def gives_short_life(args):
    """Whether a request may give a key only a few milliseconds."""
    return args[0].lower() in GIVES_LIFE and any(arg.isdigit() and 0 < int(arg) <= SHORT_LIFE_MS for arg in args[2:])


class Round:
    """What one round does: its settings and its requests, so that it can be done again."""

    def __init__(self, seed, docs, length):
        self.rng = random.Random(seed)
        self.protocol = self.rng.choice([2, 3])
        self.settings = {name: self.rng.choice(values) for name, values in THRESHOLDS.items()}
        self.reload = self.rng.random() < 0.15
        self.requests = list(self.make(docs, length))

    def make(self, docs, length):
        """Pairs of a request and whether the pipeline ends behind it."""
        grammar = Grammar(self.rng, docs)
        families = self.rng.sample(list(WEIGHTS), self.rng.randrange(2, len(WEIGHTS)))
        names = [(name, WEIGHTS[family] / len(GROUPS[family])) for family in families for name in GROUPS[family]]
        weights = [weight * (0.05 if name in RARE else 1) for name, weight in names]
        in_multi, left = 0, 0
        for _ in range(length):
            name = self.rng.choices(names, weights)[0][0]
            if in_multi:
                in_multi -= 1
                if in_multi == 0:
                    yield [b"DISCARD" if self.rng.random() < 0.1 else b"EXEC"], True
                    continue
                if self.rng.random() < 0.15:
                    name = self.rng.choice(GROUPS["waiting"])
            elif self.rng.random() < 0.01:
                in_multi = self.rng.randrange(2, 12)
                yield [b"MULTI"], False
                continue
            args = grammar.request(name)
            if in_multi and name_of(args) in SCANS | {b"spop"}:
                continue
            if not in_multi and args[0].lower().startswith(b"b"):
                continue
            if self.rng.random() < 0.01:
                args = [b"COMMAND", self.rng.choice([b"GETKEYS", b"GETKEYSANDFLAGS"]), *args]
            left = left - 1 if left > 0 else self.rng.choice([0, 0, 5, 30])
            yield args, left == 0

    def run(self, peers, requests=None):
        """Does the round, or some of its requests."""
        session = Session(peers)
        try:
            for name, value in self.settings.items():
                session.call("CONFIG", "SET", name, value)
            session.call("FLUSHALL")
            session.call("DEBUG", "SET-ACTIVE-EXPIRE", "0")
            session.call("HELLO", self.protocol)
            self.do(session, peers, self.requests if requests is None else requests)
        except Parted:
            pass
        finally:
            session.close()

    def do(self, session, peers, requests):
        batch, in_multi, short_lived = [], False, False
        for at, (args, ends) in enumerate(requests):
            name = name_of(args)
            in_multi = in_multi and name not in ENDS_MULTI or name == b"multi"
            if name in WAITING and not in_multi:
                continue  # Would wait for ever; a shorter round has lost its MULTI.
            alone = (name == b"spop" or name in SCANS) and session.queued is None and args[0].lower() != b"command"
            if alone:
                session.pipeline(batch)
                batch = []
                if session.queued is not None:
                    session.pipeline([(at, args)])
                elif name == b"spop":
                    session.pop_and_restore(at, args)
                else:
                    session.walk_cursor(at, args)
                continue
            batch.append((at, args))
            short_lived = short_lived or gives_short_life(args)
            if ends or (short_lived and not in_multi):
                session.pipeline(batch)
                batch = []
                if short_lived and not in_multi:
                    time.sleep(2 * SHORT_LIFE_MS / 1000)
                    short_lived = False
            if at % DIGEST_EVERY == DIGEST_EVERY - 1 and not batch and session.queued is None:
                session.digest(at)
        session.pipeline(batch)
        if session.queued is not None:
            session.pipeline([(len(requests), [b"DISCARD"])])
        session.digest(len(requests))
        session.groups(len(requests))
        if self.reload:
            reply = session.clients[1].call("DEBUG", "LOADAOF")
            if reply != ("+", b"OK"):
                raise LogUnreadable(f"  DEBUG LOADAOF\n    ours: {show(reply)}\n{peers[1].keep_log()}", len(requests))
            session.digest(len(requests), " after DEBUG LOADAOF on ours")
            session.groups(len(requests))


def fails(this, peers, requests):
    """The difference that these requests lead to, if any."""
    if not all(peer.alive() for peer in peers):
        return None
    try:
        this.run(peers, requests)
    except Difference as found:
        return found
    except (Closed, Silent, OSError) as fault:
        states = [f"{peer.name}: {'alive' if peer.alive() else peer.process.returncode}\n{peer.output()}" for peer in peers]
        return Difference(f"  {type(fault).__name__}: {fault}\n" + "\n".join(states), len(requests))
    return None


def shrink(this, peers, found):
    """Fewer requests that still fail, and how they fail."""
    deadline = time.monotonic() + SHRINK_SECONDS
    requests = this.requests[: found.at + 1]
    again = fails(this, peers, requests)
    if again is None:
        return this.requests[: found.at + 1], found
    found, piece = again, max(1, len(requests) // 2)
    while piece >= 1 and time.monotonic() < deadline:
        start, removed = 0, False
        while start < len(requests) and time.monotonic() < deadline:
            fewer = requests[:start] + requests[start + piece :]
            again = fails(this, peers, fewer) if fewer else None
            if again:
                requests, found, removed = fewer[: again.at + 1], again, True
            else:
                start += piece
        piece = piece if removed and piece == 1 else piece // 2
    return requests, found
