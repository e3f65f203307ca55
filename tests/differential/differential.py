#!/usr/bin/env python3
"""Sends the same random requests to redis-server and to pbjd, and says where they do not agree.

    differential.py --pbjd target/debug/pbjd [--redis redis-server] [--seed N] [--seconds S] [--ops N]
                    [--part walk|crowd|...] [--keep-going]

A seed repeats everything but time: keys that expire between a request to one server and the same request to the other
make a difference that does not come back when the round is repeated. Such a difference is shown, and only the fourth one
fails the run. Exit status: 0 when all replies agree, 1 when some do not, 2 when a server does not start.
"""

import argparse
import shutil
import sys
import time

import catalogue
import crowd
import hostile
import peers as servers
import surface
import walk
from compare import line
from grammar import read_docs
from scope import ALL
from wire import Client

OPS_BETWEEN_STARTS = 150_000
ROUND_OPS = 600
# How often a round that differs is repeated to see whether that was a matter of time, and how often it may have been.
REPEATS = 2
PASSING_MAX = 3


class Run:
    """The servers, the time that is left, and what was found."""

    def __init__(self, options):
        self.options = options
        self.deadline = time.monotonic() + options.seconds
        self.ops = 0
        self.part_began_at_ops = 0
        self.findings = {}
        self.passing = 0
        self.peers = ()
        self.started_at_ops = 0
        self.start()

    def start(self):
        self.stop()
        self.peers = servers.start(self.options.redis, self.options.pbjd)
        self.started_at_ops = self.ops

    def stop(self):
        for peer in self.peers:
            peer.stop()
        self.peers = ()

    def check_alive(self):
        for peer in self.peers:
            if not peer.alive():
                print(f"{peer.name} ended with status {peer.process.returncode}:\n{peer.output()}", flush=True)

    def over(self):
        """Whether the part that is played has had its requests, or else its time."""
        if self.options.ops:
            return self.ops - self.part_began_at_ops >= self.options.ops
        return time.monotonic() >= self.deadline

    def begin_part(self):
        self.deadline = time.monotonic() + self.options.seconds
        self.part_began_at_ops = self.ops

    def comes_back(self, again, where, found):
        """Whether a difference is there again when its round is repeated by `again`; if not, it is only shown."""
        if any(again() for _ in range(REPEATS)):
            return True
        self.passing += 1
        print(f"did not come back: {where}\n{found}\n", flush=True)
        return self.passing > PASSING_MAX

    def report(self, where, text, requests=()):
        """Shows a difference, once."""
        lines = [line.strip() for line in text.strip().splitlines()]
        words = lines[0].split() or [""]
        signature = (where.split()[0], words[0].lower(), *(line[:40] for line in lines[1:3]))
        seen = self.findings.get(signature, 0)
        self.findings[signature] = seen + 1
        if seen < self.options.repeat:
            print(f"DIFFERENCE in {where}")
            for request in requests:
                print(f"  > {request}")
            print(f"{text}\n", flush=True)


def walks(run, docs):
    nth = run.options.round
    while not run.over():
        this = walk.Round(f"{run.options.seed}/walk/{nth}", docs, ROUND_OPS)
        found = walk.fails(this, run.peers, this.requests)
        run.check_alive()
        where = f"walk {nth} (seed {run.options.seed}, RESP{this.protocol}, {this.settings})"
        if isinstance(found, walk.LogUnreadable):
            run.report(where, str(found), [line(args) for args, _ in this.requests])
            if not run.options.keep_going:
                return
            run.start()
        elif found and run.comes_back(lambda: walk.fails(this, run.peers, this.requests), where, found):
            requests, found = walk.shrink(this, run.peers, found)
            run.report(where, str(found), [line(args) for args, _ in requests[-60:]])
            if not run.options.keep_going:
                return
            run.start()
        elif run.ops - run.started_at_ops > OPS_BETWEEN_STARTS:
            run.start()  # The log of ours only grows, and is read from its beginning.
        run.ops += len(this.requests)
        nth += 1


def crowds(run, docs):
    nth = run.options.round
    while not run.over():
        this = crowd.Round(f"{run.options.seed}/crowd/{nth}", docs)
        found = crowd.fails(this, run.peers, this.steps)
        where = f"crowd {nth} (seed {run.options.seed}, RESP{this.protocol}, {this.mode})"
        if found and run.comes_back(lambda: crowd.fails(this, run.peers, this.steps), where, found):
            steps, found = crowd.shrink(this, run.peers, found)
            run.report(where, str(found), [crowd.line_of(step) for step in steps[-60:]])
            if not run.options.keep_going:
                return
            run.start()
        elif run.ops - run.started_at_ops > OPS_BETWEEN_STARTS:
            run.start()
        run.ops += len(this.steps)
        nth += 1


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--pbjd", required=True, help="path of our daemon")
    parser.add_argument("--redis", default=shutil.which("redis-server"), help="path of redis-server 7.0.15")
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--seconds", type=float, default=60, help="for each part, unless --ops is given")
    parser.add_argument("--ops", type=int, default=0, help="requests of each part, the same on every machine")
    parser.add_argument("--round", type=int, default=0, help="begin with this round")
    parser.add_argument("--part", choices=["surface", "catalogue", "hostile", "walk", "crowd"], action="append")
    parser.add_argument("--keep-going", action="store_true", help="do not stop at the first difference")
    parser.add_argument("--repeat", type=int, default=1, help="show so many differences of the same command")
    options = parser.parse_args()
    parts = options.part or ["surface", "catalogue", "hostile", "walk", "crowd"]
    print(f"seed {options.seed}", flush=True)
    try:
        run = Run(options)
    except RuntimeError as fault:
        print(fault, file=sys.stderr)
        return 2
    try:
        docs = read_docs(Client(run.peers[0].port), ALL)
        for part in parts:
            run.begin_part()
            if part == "surface":
                surface.compare(run)
            elif part == "catalogue":
                catalogue.compare(run)
            elif part == "hostile":
                hostile.compare(run)
            elif part == "walk":
                walks(run, docs)
            else:
                crowds(run, docs)
            if run.findings and not options.keep_going:
                break
    finally:
        run.stop()
    total = sum(run.findings.values())
    print(f"{run.ops} requests, {total} differences" + "".join(f"\n  {n} x {s}" for s, n in run.findings.items()))
    return 1 if total else 0


if __name__ == "__main__":
    sys.exit(main())
