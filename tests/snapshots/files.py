"""Whole files: those of the source package of Redis, those that redis-server saves, and ours, which it loads.

Law: a file means the same to both, told by DEBUG DIGEST; a file of ours passes `redis-check-rdb`; a damaged one is refused
with its place.
"""

import os
import pathlib
import random
import shutil
import subprocess
import tempfile
import time

import peers
import values
from wire import Client

# The files of the package, and what becomes of those that cannot be loaded, or not as a whole.
ASSETS = {
    "encodings.rdb": None, "hash-ziplist.rdb": None, "hash-zipmap.rdb": None, "list-quicklist.rdb": None,
    "zset-ziplist.rdb": None, "scriptbackup.rdb": None, "corrupt_empty_keys.rdb": "empty 9",
    "corrupt_ziplist.rdb": "integrity check failed",
}


def now_ms():
    return int(time.time() * 1000)


def inspect(tool, path, *words):
    """What our tool says of a file: its lines, and its fault if it has one."""
    done = subprocess.run([tool, str(path), "--now", str(now_ms()), *words], capture_output=True, text=True, timeout=300)
    return done.stdout.splitlines(), done.stderr.strip()


def loaded(redis, path):
    """The digest, keys and functions of a file as redis-server loads it, or nothing if it does not."""
    try:
        peer = peers.Peer("loaded", [redis, "--save", "", "--enable-debug-command", "yes", "--appendonly", "no"])
    except RuntimeError:
        return None
    try:
        client = Client(peer.port)
        shutil.copy(path, os.path.join(peer.folder, "dump.rdb"))
        if client.call("debug", "reload", "nosave") != ("+", b"OK"):
            return None
        return client.call("debug", "digest")[1].decode(), client.call("function", "list", "withcode")
    except Exception:  # noqa: BLE001 - it has ended, which is its way to refuse a file
        return None
    finally:
        peer.stop()


def assets(redis, tool, source, report):
    count = 0
    for name, expectation in ASSETS.items():
        path = source / "tests" / "assets" / name
        count += 1
        lines, fault = inspect(tool, path)
        if expectation and not (expectation in lines or expectation in fault):
            report(name, f"{lines} {fault!r}, wanted {expectation!r}")
        theirs = loaded(redis, path)
        ours = lines[0].removeprefix("digest ") if lines else None
        if (theirs[0] if theirs else None) != ours:
            report(name, f"digest {ours} {fault!r}, theirs {theirs and theirs[0]}")
    return count


def fill(client, seed):
    """Values of every kind in several databases, some with dates, with functions and scripts beside them."""
    rng = random.Random(seed)
    for number, case in enumerate(values.cases(seed)):
        db = rng.choice([0, 0, 0, 3, 15])
        client.call("select", db)
        for command in case.commands:
            client.call(*[f"k{number}" if word == "k" else word for word in command])
        if rng.random() < 0.3:
            client.call("pexpire", f"k{number}", rng.randrange(10_000_000, 10**11))
    client.call("select", 0)
    code = "#!lua name=lib{0}\nredis.register_function('f{0}', function(keys, args) return 'a function of the library {0}' end)"
    for number in range(5):
        client.call("function", "load", code.format(number))


def there_and_back(redis, tool, seed, report, directives):
    """What redis-server saves, as we load it, and what we write of that, as redis-server loads it."""
    where = f"files with {directives}"
    settings = [word for pair in directives.items() for word in (f"--{pair[0]}", pair[1])]
    peer = peers.Peer("saves", [redis, "--save", "", "--enable-debug-command", "yes", *settings])
    folder = pathlib.Path(tempfile.mkdtemp(prefix="snapshots-"))
    try:
        client = Client(peer.port)
        fill(client, seed)
        functions = client.call("function", "list", "withcode")
        digest = client.call("debug", "digest")[1].decode()
        saved = pathlib.Path(peer.folder) / "dump.rdb"
        if client.call("save") != ("+", b"OK"):
            report(where, "redis-server does not save")
            return
        words = [word for pair in directives.items() for word in ("--set", "=".join(pair))]
        lines, fault = inspect(tool, saved, "--copy", str(folder / "copy.rdb"), *words)
        if f"digest {digest}" not in lines or "libraries 5" not in lines:
            report(where, f"{lines[:5]} {fault!r}, wanted digest {digest}")
            return
        checked = subprocess.run(["redis-check-rdb", folder / "copy.rdb"], capture_output=True, text=True)
        if checked.returncode != 0:
            report(where, f"redis-check-rdb: {checked.stdout[-500:]}")
        theirs = loaded(redis, folder / "copy.rdb")
        if not theirs or theirs[0] != digest:
            report(where, f"redis-server loads {theirs and theirs[0]} from our copy, wanted {digest}")
        elif sorted(map(repr, theirs[1][1])) != sorted(map(repr, functions[1])):
            report(where, f"functions {theirs[1]}, wanted {functions}")
        again, _ = inspect(tool, folder / "copy.rdb")
        if again[0] != f"digest {digest}":
            report(where, f"our copy has {again[0]} for us, wanted {digest}")
        sizes = saved.stat().st_size, (folder / "copy.rdb").stat().st_size
        if directives.get("rdbchecksum") != "no":
            damage(tool, folder / "copy.rdb", seed, report)
        return sizes
    finally:
        peer.stop()
        shutil.rmtree(folder, ignore_errors=True)


def damage(tool, path, seed, report):
    """Flipped bits and cuts of a file are always seen."""
    rng = random.Random(seed)
    good = path.read_bytes()
    for _ in range(20):
        bad = bytearray(good)
        if rng.random() < 0.3:
            del bad[rng.randrange(len(bad)) :]
        else:
            at = rng.randrange(len(bad))
            bad[at] ^= 1 << rng.randrange(8)
        path.write_bytes(bad)
        lines, fault = inspect(tool, path)
        if lines or "offset" not in fault:
            report("damaged file", f"{lines[:3]} {fault!r}")
    path.write_bytes(good)


def compare(redis, tool, source, report, seed=1):
    """Everything about files; returns what is to be said about it."""
    count = assets(redis, tool, source, report)
    sizes = []
    for directives in (
        {},
        {"rdbcompression": "no"},
        {"rdbchecksum": "no"},
        {"maxmemory-policy": "allkeys-lru"},
        {"maxmemory-policy": "allkeys-lfu"},
        {"hash-max-listpack-entries": "0", "zset-max-listpack-entries": "0", "set-max-intset-entries": "0"},
    ):
        sizes.append(there_and_back(redis, tool, seed, report, directives))
    shown = ", ".join(f"{a}/{b}" for a, b in filter(None, sizes))
    return f"{count} of the package, {len(sizes)} there and back (bytes theirs/ours: {shown})"
