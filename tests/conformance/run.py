#!/usr/bin/env python3
"""Runs Redis 7.0.15's own test suite against pbjd, unit by unit, and holds the result against `expected.tsv`.

    run.py --pbjd target/debug/pbjd [--source redis-7.0.15] [--jobs 2] [--slow] [--update] [UNIT ...]
    run.py --suite valkey --pbjd target/debug/pbjd [--source valkey-9.1.2] ...
    run.py --server /usr/bin/redis-server [--slow] [UNIT ...]

A unit runs in one of two ways: `external` against a daemon that is running (what the suite calls external mode), or
`spawn`, where the suite starts its servers itself, with its own configuration files. `expected.tsv` holds the units, how
many tests of each pass, and which tests do not, each with its reason. A unit that passes fewer tests, or fails one that
is not named, fails the run; one that passes more is to be written down, with --update. The suite of Valkey 9, which has
`expected-valkey.tsv`, measures what came after Redis 7.0. Many tests hang on the clock, and a loaded machine is late: a
unit that is not as expected is played once more, alone, when all others are done, and only what it does then is judged
(if the machine stood still meanwhile, again); all outcomes are shown. `--slow` adds the tests that take too long for every day, each of which `expected.tsv` names.
`--server` plays the server of the suite itself, with all tests of the units and the same rules of counting: what it scores
is what ours is measured by (docs/testing.md), and nothing is compared.
Exit status: 0, 1 if a unit is not as expected, 2 if nothing could be run.
"""

import argparse
import concurrent.futures
import os
import pathlib
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

import expected
import suite

HERE = pathlib.Path(__file__).resolve().parent
sys.path.append(str(HERE.parent / "shared"))

from ports import free_port  # noqa: E402
from stalls import Stalls  # noqa: E402

UNIT_SECONDS = 240
# Runs of one unit alone, at most: those but the last one on a machine that stood still.
ALONE_MAX = 3
PORTS = threading.Lock()
NEXT_BASE = [random.randrange(20000, 28000)]
# What was started and is to be ended, also when somebody ends this script.
RUNNING = set()

OK = re.compile(r"^\[ok\]: (.*) \(\d+ ms\)$")
BAD = re.compile(r"^\[(err|exception|TIMEOUT)\]: ?(.*)$")
PLACE = re.compile(r" in tests/\S+\.tcl$")


class Outcome:
    """What a unit did."""

    def __init__(self, unit, ok, failed, seconds, output):
        self.unit, self.ok, self.failed, self.seconds, self.output = unit, ok, failed, seconds, output


def start_daemon(options, folder, port):
    """A daemon for the external mode, with what the suite needs; returns its process."""
    ours = [options.pbjd, "--http-port", "0", "--io-threads", "1"]
    (folder / "data").mkdir()
    log = open(folder / "pbjd.log", "wb")
    words = [
        *([options.server] if options.server else ours), "--port", str(port), "--bind", "127.0.0.1", "--dir", str(folder / "data"),
        "--save", "", "--appendonly", "no", "--enable-debug-command", "yes", "--enable-protected-configs", "yes",
        "--enable-module-command", "yes",
        # The suite measures how long it takes to free what expires.
        "--lazyfree-lazy-expire", "no",
    ]
    daemon = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
    RUNNING.add(daemon)
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline and daemon.poll() is None:
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=1) as probe:
                probe.sendall(b"PING\r\n")
                if probe.recv(16).startswith(b"+PONG"):
                    return daemon
        except OSError:
            pass
        time.sleep(0.02)
    stop(daemon)
    raise RuntimeError(f"the server does not start:\n{(folder / 'pbjd.log').read_text(errors='replace')[-2000:]}")


def stop(process):
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    RUNNING.discard(process)


def stop_group(process):
    """Ends a process and everything it started: it is the leader of its own group."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
    process.wait()
    RUNNING.discard(process)


def stop_all(*_):
    """Somebody ends this script: so does everything it started."""
    for process in list(RUNNING):
        stop_group(process)
    os._exit(130)


def read_output(output):
    """The names of the tests that passed and those that failed."""
    ok, failed = [], []
    for line in output.splitlines():
        if found := OK.match(line):
            ok.append(found[1])
        elif found := BAD.match(line):
            name = PLACE.sub("", found[2]).strip()
            failed.append(name if found[1] == "err" else f"({found[1].lower()}) {name}"[:100])
    return ok, failed


def run_unit(options, source, unit, mode):
    """Runs a unit; again, if a port was taken that the suite had found free."""
    outcome = try_unit(options, source, unit, mode)
    taken = not outcome.ok and "address already in use" in outcome.output
    return try_unit(options, source, unit, mode) if taken else outcome


def try_unit(options, source, unit, mode):
    folder = pathlib.Path(tempfile.mkdtemp(prefix="pbj-conformance-"))
    with PORTS:
        base = NEXT_BASE[0] = NEXT_BASE[0] + 200 if NEXT_BASE[0] < 31000 else 20000
    words = ["tclsh", "tests/test_helper.tcl", "--single", unit.partition(":")[0], "--durable", "--tags", options.suite.tags, "--clients", "1"]
    words += ["--baseport", str(base), "--portcount", "160", "--timeout", str(options.seconds)]
    words += [word for only in options.only for word in ("--only", only)]
    if not options.server:
        words += [word for test in options.book.skipped(unit, options.slow) for word in ("--skiptest", test)]
    began = time.monotonic()
    daemon = None
    try:
        suite.prepare(options.suite, source, folder, options.pbjd, options.server)
        if mode == "external":
            port = free_port()
            daemon = start_daemon(options, folder, port)
            words += ["--host", "127.0.0.1", "--port", str(port)]
        log = open(folder / "output", "wb")
        environment = {**os.environ, "TERM": "dumb"}
        process = subprocess.Popen(
            words, cwd=folder, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
        )
        RUNNING.add(process)
        late = ""
        try:
            process.wait(options.seconds)
        except subprocess.TimeoutExpired:
            late = "\n[TIMEOUT]: the unit took too long\n"
        stop_group(process)
        dead = daemon is not None and daemon.poll() is not None
        output = (folder / "output").read_text(errors="replace") + late
        if dead:
            output += "\n[exception]: the server ended\n" + (folder / "pbjd.log").read_text(errors="replace")[-3000:]
    finally:
        if daemon:
            stop(daemon)
        if options.keep:
            print(f"{unit}: {folder}")
        else:
            shutil.rmtree(folder, ignore_errors=True)
    ok, failed = read_output(output)
    return Outcome(unit, ok, failed, time.monotonic() - began, output)


def show(outcome, verdict, options):
    line = f"{outcome.unit:34} {len(outcome.ok):4} ok {len(outcome.failed):4} failed {outcome.seconds:6.1f} s  {verdict}"
    print(line.rstrip(), flush=True)
    if options.output:
        path = pathlib.Path(options.output)
        path.mkdir(parents=True, exist_ok=True)
        (path / (outcome.unit.replace("/", "-") + ".log")).write_text(outcome.output)


def judge(outcome, options):
    """Shows an outcome; whether it is as expected."""
    compared = not options.only and not options.server
    faults = options.book.judge(outcome) if compared else []
    show(outcome, options.book.note(outcome) if compared else "", options)
    for fault in faults:
        print(f"    {fault}", flush=True)
    return not faults


def play(options, source, units):
    """Runs units side by side, and those that are not as expected once more, alone; the last outcome of each, and the
    names of those that are not as expected then."""
    outcomes, again = {}, []
    with concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
        jobs = [pool.submit(run_unit, options, source, unit, options.mode_of(unit)) for unit in units]
        for job in concurrent.futures.as_completed(jobs):
            outcome = job.result()
            outcomes[outcome.unit] = outcome
            if not judge(outcome, options):
                again.append(outcome.unit)
    if options.update or not again:
        return outcomes, again
    print("once more, alone:", flush=True)
    return outcomes, [unit for unit in again if not is_right_alone(options, source, unit, outcomes)]


def is_right_alone(options, source, unit, outcomes):
    """Whether a unit is as expected when nothing else runs. A run during which the machine stood still says nothing."""
    stalls = Stalls()
    for _ in range(ALONE_MAX):
        before = stalls.lost_s
        outcomes[unit] = run_unit(options, source, unit, options.mode_of(unit))
        if judge(outcomes[unit], options):
            return True
        if stalls.lost_s == before:
            return False
        print(f"    the machine stood still for {stalls.lost_s - before:.1f} s meanwhile", flush=True)
    return False


def read_options():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("units", nargs="*", help="units to run, all of expected.tsv unless given")
    parser.add_argument("--suite", choices=suite.SUITES, default="redis", help="whose suite")
    played = parser.add_mutually_exclusive_group(required=True)
    played.add_argument("--pbjd", type=os.path.abspath, help="path of our daemon")
    played.add_argument("--server", type=os.path.abspath, help="path of another server, to see what it scores; nothing is compared")
    parser.add_argument("--source", help="unpacked sources; fetched unless given here or in REDIS_SOURCE or VALKEY_SOURCE")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="units that run at the same time")
    parser.add_argument("--seconds", type=int, default=UNIT_SECONDS, help="limit of each unit")
    parser.add_argument("--slow", action="store_true", help="also what takes too long for every day")
    parser.add_argument("--only", action="append", default=[], help="run tests of this name only; nothing is compared")
    parser.add_argument("--mode", choices=["external", "spawn"], help="for units that expected.tsv does not have")
    parser.add_argument("--output", help="a folder for what the suite says, a file for each unit")
    parser.add_argument("--keep", action="store_true", help="keep the folders of the runs")
    parser.add_argument("--update", action="store_true", help="write down what units score now")
    options = parser.parse_args()
    if options.server and options.update:
        parser.error("--update writes down what pbjd scores")
    options.suite = suite.SUITES[options.suite]
    options.book = expected.Book.read(HERE / options.suite.expectations())
    options.mode_of = lambda unit: options.mode or options.book.mode(unit)
    return options


def main():
    options = read_options()
    signal.signal(signal.SIGTERM, stop_all)
    signal.signal(signal.SIGINT, stop_all)
    try:
        source = suite.find(options.suite, options.source)
    except (OSError, subprocess.CalledProcessError) as fault:
        print(f"the suite cannot be had: {fault}", file=sys.stderr)
        return 2
    book = options.book
    units = options.units or [unit for unit in book.units if options.slow or not book.is_slow(unit)]
    # The long ones first, so that the last one to end is a short one.
    units.sort(key=lambda unit: -book.seconds(unit))
    began = time.monotonic()
    outcomes, wrong = play(options, source, units)
    for mode in ("external", "spawn"):
        total = sum(len(outcome.ok) for outcome in outcomes.values() if options.mode_of(outcome.unit) == mode)
        print(f"{mode}: {total} tests passed")
    print(f"{len(units)} units, {time.monotonic() - began:.0f} s; not as expected: {' '.join(wrong) or 'none'}")
    if options.update:
        for outcome in outcomes.values():
            book.record(outcome, options.mode_of(outcome.unit))
        book.write()
    return 1 if wrong and not options.update else 0


if __name__ == "__main__":
    sys.exit(main())
