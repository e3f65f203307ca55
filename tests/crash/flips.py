"""Bits that change on the disk while the daemon is away: they are noticed, or they change nothing. Never is a changed value served."""

import shutil

from daemon import Daemon, Refused

KEYS = 200
DAMAGED = 65
OF_STARTS = b"pbj:{lock}"


def play(run):
    folder = run.folder("flips")
    daemon = Daemon(run.pbjd, folder)
    client = daemon.client()
    for n in range(KEYS):
        client.call("SET", f"key:{n}", value_of(n))
        client.call("HSET", f"hash:{n % 20}", f"field:{n}", value_of(n))
        client.call("ZADD", "zset", n, f"member:{n}")
        client.call("JOB.PUSH", "mail", "send", value_of(n), "DELAY", "30d")
    digests = digests_of(client)
    daemon.stop()
    good = run.place / "flips-good"
    shutil.copytree(folder, good)
    refused = unchanged = 0
    for _ in range(run.flips):
        shutil.rmtree(folder)
        shutil.copytree(good, folder)
        where = flip(run, folder)
        try:
            daemon = Daemon(run.pbjd, folder)
        except Refused as fault:
            refused += 1
            if fault.status != DAMAGED:
                run.fault(f"flipped bit in {where}: {fault}")
            continue
        if digests_of(daemon.client()) == digests:
            unchanged += 1
        else:
            run.fault(f"flipped bit in {where}: other data is served")
        daemon.kill()
    run.say(f"flipped bits: {run.flips}, {refused} refused, {unchanged} without effect")


def digests_of(client):
    """A fingerprint of each key, but for the one that says where the numbers of this start begin."""
    keys = sorted(content for _, content in client.call("KEYS", "*")[1] if content != OF_STARTS)
    return keys, client.call("DEBUG", "DIGEST-VALUE", *keys)


def value_of(n):
    return f"value of the number {n} " * (1 + n % 5)


def flip(run, folder):
    """Changes one bit of one file of the log; says where."""
    files = [file for file in sorted((folder / "appendonlydir").iterdir()) if file.stat().st_size]
    file = run.rng.choices(files, [file.stat().st_size for file in files])[0]
    data = bytearray(file.read_bytes())
    at, bit = run.rng.randrange(len(data)), run.rng.randrange(8)
    data[at] ^= 1 << bit
    file.write_bytes(data)
    return f"{file.name}, byte {at}, bit {bit}"
