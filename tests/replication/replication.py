#!/usr/bin/env python3
"""Replication between redis-server 7.0.15, Valkey 8 and pbjd in every pairing, and in chains of three.

    replication.py --pbjd target/debug/pbjd [--redis redis-server] [--seed N] [--churn SECONDS] [--part pairs|chains|files|restarts|valkey]

Every pairing: values of all types and encodings, streams with groups, functions, dates; then a writer, while the link is
cut again and again. At the end both have the same offset and the same DEBUG DIGEST, and there was one full sync. Then the
replica is made the master and the former master follows it, from where it was. Restarts: see restarts.py. Where Valkey 8 cannot be had (valkey.py), its
part is left out, with the reason.

Exit status: 0 when all is well, 1 when something is not, 2 when a server cannot be had.
"""

import argparse
import pathlib
import random
import shutil
import subprocess
import sys
import tempfile
import threading
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent / "differential"), str(HERE.parent / "snapshots")]

import churn  # noqa: E402
import peers  # noqa: E402
import restarts  # noqa: E402
import valkey  # noqa: E402
import waits  # noqa: E402
from proxy import Proxy  # noqa: E402
from wire import Client  # noqa: E402

PARTS = ["pairs", "chains", "files", "restarts", "valkey"]
# How long anything may take that takes milliseconds on an idle machine.
PATIENCE_S = 30
COMMON = ["--enable-debug-command", "yes", "--enable-protected-configs", "yes", "--save", "", "--io-threads", "1"]
OWN = {"redis": ["--repl-diskless-sync-delay", "0", "--loglevel", "notice"], "pbjd": ["--http-port", "0"]}
OWN["valkey"] = OWN["redis"]


class Wrong(Exception):
    """Something is not as it has to be."""


class Server(peers.Peer):
    """A server with a connection to it."""

    def __init__(self, kind, binary, *more):
        self.kind = kind
        super().__init__(kind, [binary, *COMMON, *OWN[kind], *more])
        self.client = Client(self.port, timeout=PATIENCE_S)

    def ask(self, *words):
        kind, content = self.client.call(*words)
        if kind == "-":
            raise Wrong(f"{self.kind} answers {content!r} to {words!r}")
        return content

    def facts(self, section="replication"):
        lines = self.ask("INFO", section).decode().splitlines()
        return dict(line.split(":", 1) for line in lines if ":" in line)

    def follow(self, port):
        self.ask("REPLICAOF", "127.0.0.1", port)

    def come_back(self, how, *more, meanwhile=lambda: None):
        """Ends the server, in order or not, and starts it again."""
        self.client.close()
        self.end(kill=how == "killed")
        meanwhile()
        self.start_again(*more)
        self.client = Client(self.port, timeout=PATIENCE_S)

    def stop(self):
        self.client.close()
        super().stop()


class Lab:
    """What the cases of other files need."""

    def __init__(self, start):
        self.start, self.until, self.is_linked, self.agree, self.Wrong = start, until, is_linked, agree, Wrong

    @staticmethod
    def stop_all(servers):
        for server in servers:
            if sys.exc_info()[0]:
                print(f"--- {server.kind}:\n{server.output()}", flush=True)
            server.stop()


def until(what, condition):
    """Waits until a condition holds."""
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        if condition():
            return
        time.sleep(0.02)
    raise Wrong(f"not in {PATIENCE_S} s: {what}")


def is_linked(server):
    return server.facts().get("master_link_status") == "up"


def fingerprints(servers):
    """What is to be the same. Valkey 8 prints scores otherwise in DEBUG DIGEST, so sorted sets are compared by themselves."""
    if all(server.kind != "valkey" for server in servers):
        return [server.ask("DEBUG", "DIGEST") for server in servers]
    return [contents(server) for server in servers]


def contents(server):
    """All keys of all databases, with a fingerprint of each."""
    found = {}
    for db in range(16):
        server.ask("SELECT", db)
        for _, key in server.ask("KEYS", "*"):
            if server.ask("TYPE", key) == b"zset":
                words = [word for _, word in server.ask("ZRANGE", key, 0, -1, "WITHSCORES")]
                value = sorted((word, float(score)) for word, score in zip(words[::2], words[1::2]))
            else:
                value = server.ask("DEBUG", "DIGEST-VALUE", key)
            found[db, key] = (value, server.ask("PEXPIRETIME", key))
    server.ask("SELECT", 0)
    return found


def differing(fingerprints):
    """What differs, short enough to be read."""
    if not isinstance(fingerprints[0], dict):
        return fingerprints
    keys = {key for content in fingerprints for key in content}
    return [(key, [content.get(key) for content in fingerprints]) for key in sorted(keys) if len({repr(content.get(key)) for content in fingerprints}) > 1][:3]


def agree(head, followers):
    """Waits for equal offsets, and compares digests."""
    # What is past its date must be gone at the master; a replica only hides it.
    until("nothing waits for its date", lambda: churn.nothing_expires(head))

    def same_offset():
        offset = head.facts()["master_repl_offset"]
        return all(follower.facts()["master_repl_offset"] == offset for follower in followers)

    until("equal offsets", same_offset)
    for attempt in range(5):
        offsets = [server.facts()["master_repl_offset"] for server in [head, *followers]]
        digests = fingerprints([head, *followers])
        again = [server.facts()["master_repl_offset"] for server in [head, *followers]]
        if offsets == again and len(set(offsets)) == 1:
            if any(digest != digests[0] for digest in digests):
                raise Wrong(f"digests differ at offset {offsets[0]}: {differing(digests)}")
            return
        time.sleep(0.2)
    raise Wrong("the offsets do not rest")


def disturb(proxies, head, seconds, seed):
    """Writes at the head while the links are cut."""
    stop = threading.Event()
    writer = churn.Writer(head.port, seed, stop)
    writer.start()
    rng = random.Random(seed)
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        time.sleep(rng.uniform(0.15, 0.5))
        rng.choice(proxies).cut()
    stop.set()
    writer.join()
    if writer.fault:
        raise Wrong(f"the writer failed: {writer.fault}")
    return writer.written


def pair(start, kinds, options):
    """A master and a replica."""
    head, follower = servers = [start(kind) for kind in kinds]
    proxy = Proxy(head.port)
    try:
        churn.fill(head, options.seed)
        follower.ask("SET", "what was there before", "goes")
        follower.follow(proxy.port)
        until("the link is up", lambda: is_linked(follower))
        agree(head, [follower])
        written = disturb([proxy], head, options.churn, options.seed)
        until("the link is up again", lambda: is_linked(follower))
        agree(head, [follower])
        stats = head.facts("stats")
        if stats["sync_full"] != "1":
            raise Wrong(f"{stats['sync_full']} full syncs, with a backlog that suffices")
        if head.ask("WAIT", 1, 5000) != 1:
            raise Wrong("WAIT does not count the replica")
        follower.ask("REPLICAOF", "NO", "ONE")
        follower.ask("SET", "written by the new master", "1")
        head.follow(follower.port)
        until("the former master follows", lambda: is_linked(head))
        agree(follower, [head])
        if follower.facts("stats")["sync_full"] != "0":
            raise Wrong("the former master had to get everything")
        return f"{written} writes, {stats['sync_partial_ok']} partial syncs"
    finally:
        proxy.close()
        for server in servers:
            if sys.exc_info()[0]:
                print(f"--- {server.kind}:\n{server.output()}", flush=True)
            server.stop()


def chain(start, kinds, options):
    """A master, a replica, and a replica of that."""
    head, middle, tail = servers = [start(kind) for kind in kinds]
    proxies = [Proxy(head.port), Proxy(middle.port)]
    try:
        churn.fill(head, options.seed)
        middle.follow(proxies[0].port)
        until("the middle is linked", lambda: is_linked(middle))
        tail.follow(proxies[1].port)
        until("the tail is linked", lambda: is_linked(tail))
        listener = Client(tail.port, timeout=PATIENCE_S)
        listener.call("SUBSCRIBE", "news")
        until("the tail is served", lambda: head.ask("PUBLISH", "news", "from the head") == 0)
        if listener.frame()[1][2] != ("$", b"from the head"):
            raise Wrong("a message does not come to the end of the chain")
        listener.close()
        written = disturb(proxies, head, options.churn, options.seed)
        for server in [middle, tail]:
            until("the links are up again", lambda: is_linked(server))
        agree(head, [middle, tail])
        for server in [head, middle]:
            if server.facts("stats")["sync_full"] != "1":
                raise Wrong(f"{server.facts('stats')['sync_full']} full syncs, with a backlog that suffices")
        # The middle takes over, the tail goes on with it, and the head follows the tail.
        middle.ask("REPLICAOF", "NO", "ONE")
        until("the tail goes on", lambda: is_linked(tail))
        middle.ask("SET", "written by the new master", "1")
        head.follow(tail.port)
        until("the head follows", lambda: is_linked(head))
        agree(middle, [tail, head])
        if [server.facts("stats")["sync_full"] for server in (middle, tail)] != ["1", "0"]:
            raise Wrong("somebody had to get everything after the middle took over")
        return f"{written} writes"
    finally:
        for proxy in proxies:
            proxy.close()
        for server in servers:
            if sys.exc_info()[0]:
                print(f"--- {server.kind}:\n{server.output()}", flush=True)
            server.stop()


def files(start, options):
    """redis-cli gets a snapshot over the wire, and listens."""
    head = start("pbjd")
    folder = tempfile.mkdtemp(prefix="replication-")
    try:
        churn.fill(head, options.seed)
        path = f"{folder}/dump.rdb"
        subprocess.run(["redis-cli", "-p", str(head.port), "--rdb", path], check=True, capture_output=True, timeout=PATIENCE_S)
        checked = subprocess.run(["redis-check-rdb", path], capture_output=True, timeout=PATIENCE_S, text=True)
        if "RDB looks OK" not in checked.stdout:
            raise Wrong(f"redis-check-rdb: {checked.stdout[-300:]}")
        command = ["redis-cli", "-p", str(head.port), "--replica"]
        listener = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        until("redis-cli follows", lambda: head.facts().get("connected_slaves") == "1")
        until("redis-cli is online", lambda: "state=online" in head.facts().get("slave0", ""))
        head.ask("SET", "heard", "1")
        lines = []
        reader = threading.Thread(target=lambda: lines.extend(iter(listener.stdout.readline, "")))
        reader.start()
        until("redis-cli hears", lambda: any('"SET","heard","1"' in line for line in lines))
        listener.terminate()
        listener.wait()
        reader.join()
        return f"{checked.stdout.count(chr(10))} lines of redis-check-rdb"
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        head.stop()


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--pbjd", required=True, help="path of our daemon")
    parser.add_argument("--redis", default=shutil.which("redis-server"), help="path of redis-server 7.0.15")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--churn", type=float, default=1.5, help="seconds of writing for each pairing")
    parser.add_argument("--part", choices=PARTS, action="append")
    options = parser.parse_args()
    binaries = {"redis": options.redis, "pbjd": options.pbjd}
    if not all(binary and pathlib.Path(binary).exists() for binary in binaries.values()):
        print("a server is missing", file=sys.stderr)
        return 2

    def start(kind, *more):
        return Server(kind, binaries[kind], *more)

    kinds = {"r": "redis", "p": "pbjd", "v": "valkey"}
    cases = []

    def pairs(names):
        return [(f"pair {name}", lambda name=name: pair(start, [kinds[k] for k in name], options)) for name in names]

    def chains(names):
        return [(f"chain {name}", lambda name=name: chain(start, [kinds[k] for k in name], options)) for name in names]

    for part in options.part or PARTS:
        if part == "pairs":
            cases += pairs(["pr", "rp", "pp"])
        elif part == "chains":
            cases += chains(["ppp", "rpr", "prp", "rpp"])
        elif part == "valkey":
            try:
                binaries["valkey"] = valkey.find()
            except OSError as reason:
                print(f"valkey: left out: {reason}", flush=True)
                continue
            # A redis-server 7.0 cannot read what Valkey 8 sends; with pbjd in between it can follow.
            cases += pairs(["pv", "vp"]) + chains(["vpr", "rpv", "pvp"])
        elif part == "restarts":
            lab = Lab(start)
            for names, who, how in restarts.CASES:
                chosen = [kinds[k] for k in names]
                cases.append((f"restart {names} {who} {how}", lambda c=chosen, w=who, h=how: restarts.restart(lab, c, w, h, options)))
            cases.append(("master lost data", lambda: restarts.lost(lab, options)))
            cases.append(("WAITAOF", lambda: waits.disks(lab)))
        else:
            cases.append(("redis-cli", lambda: files(start, options)))
    failed = 0
    for name, run in cases:
        began = time.monotonic()
        try:
            print(f"{name}: {run()}, {time.monotonic() - began:.1f} s", flush=True)
        except (Wrong, RuntimeError, OSError, subprocess.SubprocessError) as fault:
            failed += 1
            print(f"{name}: WRONG: {fault}", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
