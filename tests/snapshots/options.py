"""The words of DUMP and RESTORE: replies, what is left behind, and what is propagated."""

import time


def requests(payload, now_ms):
    """Requests about key `k`, of which some make it."""
    broken = payload[:-1] + bytes([payload[-1] ^ 1])
    newer = payload[:-10] + b"\xe7\x03" + payload[-8:]
    yield ("dump", "nothing")
    yield ("restore", "k", 0, payload)
    yield ("restore", "k", 0, payload)
    yield ("restore", "k", 0, payload, "REPLACE")
    yield ("restore", "k", "x", payload)
    yield ("restore", "k", "x", payload, "REPLACE")
    yield ("restore", "k", -1, payload, "REPLACE")
    yield ("restore", "k", "9223372036854775808", payload, "REPLACE")
    yield ("restore", "k", 0, broken, "REPLACE")
    yield ("restore", "k", 0, newer, "REPLACE")
    yield ("restore", "k", 0, b"", "REPLACE")
    yield ("restore", "k", 0, payload[-10:], "REPLACE")
    yield ("restore", "k", 0, payload, "REPLACE", "REPLACE", "ABSTTL")
    yield ("restore", "k", 0, payload, "IDLETIME")
    yield ("restore", "k", 0, payload, "IDLETIME", "x")
    yield ("restore", "k", 0, payload, "IDLETIME", -1)
    yield ("restore", "k", 0, payload, "FREQ", 256)
    yield ("restore", "k", 0, payload, "FREQ", -1)
    yield ("restore", "k", 0, payload, "FREQ", 1, "IDLETIME", 1)
    yield ("restore", "k", 0, payload, "IDLETIME", 1, "FREQ", 1)
    yield ("restore", "k", 0, payload, "nonsense")
    yield ("restore", "k", 0, payload, "REPLACE", "IDLETIME", 1000)
    yield ("object", "idletime", "k")
    yield ("restore", "k", 100_000, payload, "REPLACE")
    yield ("persist", "k")
    yield ("restore", "k", now_ms + 1_000_000, payload, "ABSTTL", "REPLACE")
    yield ("pexpiretime", "k")
    yield ("restore", "k", now_ms - 1000, payload, "ABSTTL", "REPLACE")
    yield ("exists", "k")
    yield ("restore", "k", now_ms - 1000, payload, "ABSTTL")
    yield ("exists", "k")
    yield ("restore-asking", "k", 0, payload)
    yield ("get", "k")
    yield ("restore", "k")
    yield ("dump",)
    yield ("command", "info", "dump", "restore", "restore-asking")
    yield ("command", "getkeys", "restore", "k", 0, payload)
    yield ("config", "set", "maxmemory-policy", "allkeys-lfu")
    yield ("restore", "f", 0, payload, "FREQ", 100)
    yield ("object", "freq", "f")
    yield ("config", "set", "maxmemory-policy", "noeviction")


def compare(reference, ours, report):
    """Sends all of them to both; returns how many there were."""
    count = 0
    listeners = []
    for client in (reference, ours):
        client.call("flushall")
        client.call("config", "set", "notify-keyspace-events", "KEA")
        client.call("set", "source", "a value")
    payload = reference.call("dump", "source")[1]
    for client in (reference, ours):
        listener = type(client)(client.socket.getpeername()[1])
        listener.call("psubscribe", "__key*__:*")
        listeners.append(listener)
    now_ms = int(time.time() * 1000)
    for request in requests(payload, now_ms):
        count += 1
        replies = [client.call(*request) for client in (reference, ours)]
        if replies[0] != replies[1]:
            report("options", f"{request[:6]}:\n  theirs {replies[0]}\n  ours   {replies[1]}")
        time.sleep(0.002)
        told = [listener.frames_at_hand()[0] for listener in listeners]
        if told[0] != told[1]:
            report("options", f"notifications of {request[:6]}:\n  theirs {told[0]}\n  ours   {told[1]}")
    for listener in listeners:
        listener.close()
    return count
