"""Restarts: who comes back with the data it had goes on where it was, and nobody has to get everything again.

A case names who is the master, who the replica, which of them is restarted, and how: `save` ends in order and leaves a
snapshot, `log` ends in order and leaves a log, `killed` is ended by SIGKILL and leaves a log.
"""

import time

import churn

# Redis does not go on from a log.
CASES = [
    ("pp", "replica", "save"), ("pp", "replica", "log"), ("pp", "replica", "killed"),
    ("pp", "master", "save"), ("pp", "master", "log"),
    ("rp", "replica", "save"), ("rp", "replica", "killed"), ("rp", "master", "save"),
    ("pr", "replica", "save"), ("pr", "master", "save"), ("pr", "master", "log"),
]  # fmt: skip
FILES = {
    "save": ["--save", "3600 100000000", "--appendonly", "no"],
    "log": ["--appendonly", "yes"],
    "killed": ["--appendonly", "yes", "--appendfsync", "always"],
}


def restart(lab, kinds, who, how, options):
    """A pair of which one side is restarted while the other one writes or waits."""
    # Nothing but what the test does moves the offset.
    more = {"master": ["--repl-ping-replica-period", "3600"], "replica": []}
    more[who] = [*more[who], *FILES[how]]
    head, follower = servers = [lab.start(kind, *more[role]) for kind, role in zip(kinds, ("master", "replica"))]
    try:
        churn.fill(head, options.seed)
        follower.follow(head.port)
        lab.until("the link is up", lambda: lab.is_linked(follower))
        lab.agree(head, [follower])
        if who == "replica":
            follower.come_back(how, "--replicaof", "127.0.0.1", str(head.port), meanwhile=lambda: write(head, 200))
        else:
            write(head, 200)
            lab.agree(head, [follower])
            former = head.facts()["master_replid"]
            head.come_back(how)
            facts = head.facts()
            if facts["master_replid2"] != former or facts["master_replid"] == former:
                raise lab.Wrong(f"the master does not know the history that it had: {facts}")
        lab.until("the link is up again", lambda: lab.is_linked(follower))
        write(head, 50)
        lab.agree(head, [follower])
        stats = head.facts("stats")
        full = "1" if who == "replica" else "0"
        if (stats["sync_full"], stats["sync_partial_ok"]) != (full, "1"):
            raise lab.Wrong(f"full syncs {stats['sync_full']}, partial syncs {stats['sync_partial_ok']}")
        return "goes on where it was"
    finally:
        lab.stop_all(servers)


def lost(lab, options):
    """A master that was killed has lost what its replica has: the replica must not go on as if nothing was."""
    head, follower = servers = [lab.start("pbjd", *FILES["save"]), lab.start("pbjd")]
    try:
        churn.fill(head, options.seed)
        follower.follow(head.port)
        lab.until("the link is up", lambda: lab.is_linked(follower))
        head.ask("SAVE")
        write(head, 100)
        lab.agree(head, [follower])
        head.come_back("killed")
        lab.until("the link is up again", lambda: lab.is_linked(follower))
        write(head, 50)
        lab.agree(head, [follower])
        stats = head.facts("stats")
        if (stats["sync_full"], stats["sync_partial_ok"]) != ("1", "0"):
            raise lab.Wrong(f"full syncs {stats['sync_full']}, partial syncs {stats['sync_partial_ok']}")
        return "everything is taken over"
    finally:
        lab.stop_all(servers)


def write(server, count):
    """Writes in several databases; the last database is one of its own, as the stream does not name it again."""
    for number in range(count):
        server.ask("SELECT", 3 if number % 3 else 9)
        server.ask("RPUSH", f"list:{number % 7}", "x" * 50, time.monotonic_ns())
    server.ask("SELECT", 0)
