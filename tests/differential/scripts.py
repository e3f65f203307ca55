#!/usr/bin/env python3
"""Sends the same scripts to redis-server and to pbjd, and says where their replies are not the same bytes.

    scripts.py --pbjd target/debug/pbjd [--redis redis-server] [--seed N] [--seconds S] [--keep-going]

Some scripts are written down here, by what they try; the others are put together from parts at random. A seed repeats
everything. Exit status: 0 when all replies agree, 1 when some do not, 2 when a server does not start.
"""

import argparse
import random
import shutil
import sys
import threading
import time

import peers as servers
import snippets
from wire import Client, Closed


def show(reply):
    return repr(reply) if len(repr(reply)) < 400 else repr(reply)[:400] + "…"


class Pair:
    """A connection to each server."""

    def __init__(self, peers, protocol):
        self.clients = [Client(peer.port) for peer in peers]
        if protocol == 3:
            self.call("HELLO", "3")

    def call(self, *args):
        replies = []
        for client in self.clients:
            try:
                replies.append(client.call(*args))
            except Closed:
                replies.append("closed")
        return replies

    def close(self):
        for client in self.clients:
            client.close()


class Run:
    def __init__(self, options):
        self.options = options
        self.peers = servers.start(options.redis, options.pbjd)
        self.pairs = {protocol: Pair(self.peers, protocol) for protocol in (2, 3)}
        self.scripts = 0
        self.differences = 0

    def stop(self):
        for peer in self.peers:
            peer.stop()

    def compare(self, protocol, script, *args):
        """Runs a script on both; says whether they agree."""
        self.scripts += 1
        theirs, ours = self.pairs[protocol].call("EVAL", script, *args)
        if snippets.same(theirs, ours):
            return True
        self.differences += 1
        print(f"DIFFERENCE in RESP{protocol}\n{script}\n  arguments {args}\n  redis: {show(theirs)}\n  pbjd:  {show(ours)}\n")
        sys.stdout.flush()
        return False

    def command(self, *args):
        """Sends a command to both, which must agree."""
        self.scripts += 1
        theirs, ours = self.pairs[2].call(*args)
        if not snippets.same(theirs, ours):
            self.differences += 1
            print(f"DIFFERENCE in {args}\n  redis: {show(theirs)}\n  pbjd:  {show(ours)}\n")
            sys.stdout.flush()


def written(run):
    """The scripts that are written down."""
    for script in snippets.SCRIPTS:
        script, args = script if isinstance(script, tuple) else (script, ("2", "k1", "k2", "a1", "a2"))
        for protocol in (2, 3):
            run.command("FLUSHALL")
            run.compare(protocol, script, *args)
    for request in snippets.REQUESTS:
        run.command(*request)


def drawn(run):
    """Scripts put together at random."""
    deadline = time.monotonic() + run.options.seconds
    nth = 0
    while time.monotonic() < deadline:
        source = random.Random(f"{run.options.seed}/{nth}")
        nth += 1
        agrees = run.compare(source.choice((2, 3)), snippets.draw(source), "1", "key", *snippets.arguments(source))
        if not agrees and not run.options.keep_going:
            return


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--pbjd", required=True, help="path of our daemon")
    parser.add_argument("--redis", default=shutil.which("redis-server"), help="path of redis-server 7.0.15")
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--seconds", type=float, default=30, help="for scripts put together at random")
    parser.add_argument("--keep-going", action="store_true", help="do not stop at the first difference")
    options = parser.parse_args()
    print(f"seed {options.seed}", flush=True)
    try:
        run = Run(options)
    except RuntimeError as fault:
        print(fault, file=sys.stderr)
        return 2
    try:
        written(run)
        if not run.differences or options.keep_going:
            drawn(run)
        for peer in run.peers:
            if not peer.alive():
                run.differences += 1
                print(f"{peer.name} ended:\n{peer.output()}")
    finally:
        run.stop()
    print(f"{run.scripts} scripts, {run.differences} differences")
    return 1 if run.differences else 0


if __name__ == "__main__":
    # Replies nest as deep as the stack of Lua, which is deeper than that of Python.
    sys.setrecursionlimit(100_000)
    threading.stack_size(512 << 20)
    results = []
    thread = threading.Thread(target=lambda: results.append(main()))
    thread.start()
    thread.join()
    sys.exit(results[0] if results else 2)
