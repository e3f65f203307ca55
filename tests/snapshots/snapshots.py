#!/usr/bin/env python3
"""Exchanges values between redis-server 7.0.15 and pbjd, good ones and damaged ones, and says where they do not agree.

    snapshots.py --pbjd target/debug/pbjd [--redis redis-server] [--source redis-7.0.15] [--seed N] [--part values|...]

Exit status: 0 when all agree, 1 when something does not, 2 when a server or the source package cannot be had.
"""

import argparse
import pathlib
import shutil
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent / "differential"), str(HERE.parent / "conformance")]

import corrupt  # noqa: E402
import files  # noqa: E402
import options as words  # noqa: E402
import peers as servers  # noqa: E402
import suite  # noqa: E402
import values  # noqa: E402
from wire import Client  # noqa: E402

PARTS = ["values", "options", "corrupt", "files"]


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--pbjd", required=True, help="path of our daemon")
    parser.add_argument("--redis", default=shutil.which("redis-server"), help="path of redis-server 7.0.15")
    parser.add_argument("--source", help="unpacked sources of Redis 7.0.15; fetched unless given here or in REDIS_SOURCE")
    parser.add_argument("--tool", help="path of our tool for files; beside pbjd unless given")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--part", choices=PARTS, action="append")
    options = parser.parse_args()
    options.tool = options.tool or str(pathlib.Path(options.pbjd).with_name("snapshot"))
    faults = []

    def report(where, text):
        faults.append(where)
        if len(faults) <= 40:
            text = "\n".join(line[:1000] for line in text.splitlines())
            print(f"DIFFERENCE in {where}: {text}", flush=True)

    try:
        source = suite.find(options.source)
        pair = servers.start(options.redis, options.pbjd)
    except (OSError, RuntimeError, subprocess.CalledProcessError) as fault:
        print(fault, file=sys.stderr)
        return 2
    try:
        reference, ours = (Client(peer.port) for peer in pair)
        for part in options.part or PARTS:
            if part == "values":
                count, same, inexact = values.compare(reference, ours, options.seed, report)
                print(f"values: {count}, {same} with the same bytes, {inexact} compressed otherwise")
            elif part == "options":
                print(f"options: {words.compare(reference, ours, report)} requests")
            elif part == "files":
                print(f"files: {files.compare(options.redis, options.tool, source, report, options.seed)}")
            else:
                print(f"corrupt: {corrupt.compare(options.redis, ours, source, report, options.seed)}")
        for peer in pair:
            if not peer.alive():
                report(peer.name, f"ended with status {peer.process.returncode}:\n{peer.output()}")
    finally:
        for peer in pair:
            peer.stop()
    print(f"{len(faults)} differences")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
