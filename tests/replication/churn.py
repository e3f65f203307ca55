"""Data of every kind, and a writer that changes it without end."""

import random
import threading
import time

import values
from wire import Client, Closed, Silent

LIBRARY = "#!lua name=lib\nredis.register_function('twice', function(keys, args) return 2 * args[1] end)"
# Bytes written in a second: less than a backlog holds while a link is down.
WRITES_PER_PAUSE = 20
PAUSE_S = 0.01


def fill(server, seed):
    """Values of all types and encodings, streams with groups, functions, dates."""
    rng = random.Random(seed)
    makers = [values.texts, values.lists, values.sets, values.hashes, values.scored, values.streams]
    for make in makers:
        for number, case in enumerate(make(rng)):
            key = f"{make.__name__}:{number}"
            for command in case.commands:
                words = [key if word == "k" else word for word in command]
                server.client.call(*words)
    server.ask("FUNCTION", "LOAD", "REPLACE", LIBRARY)
    server.ask("SET", "dated", "1", "EX", 1000)
    server.ask("XGROUP", "CREATE", "events", "group", "$", "MKSTREAM")
    server.ask("XADD", "events", "*", "a", "1")
    server.ask("XREADGROUP", "GROUP", "group", "worker", "STREAMS", "events", ">")
    server.ask("SELECT", 3)
    server.ask("SET", "in another database", "1")
    server.ask("SELECT", 0)


def nothing_expires(server):
    """Whether no key is about to expire."""
    return server.ask("EVAL", "for _, k in ipairs(redis.call('KEYS', 'brief:*')) do return 0 end return 1", 0) == 1


class Writer(threading.Thread):
    """Writes random commands, some of them in transactions and scripts, in several databases."""

    def __init__(self, port, seed, stop):
        super().__init__(daemon=True)
        self.port, self.rng, self.stop, self.fault, self.written = port, random.Random(seed), stop, None, 0

    def run(self):
        try:
            client = Client(self.port)
            while not self.stop.is_set():
                for _ in range(WRITES_PER_PAUSE):
                    self.step(client)
                time.sleep(PAUSE_S)
            client.close()
        except (OSError, Closed, Silent) as fault:
            self.fault = repr(fault)

    def command(self):
        rng = self.rng
        key = rng.randrange(200)
        return rng.choice(
            [
                ("SET", f"text:{key}", rng.randbytes(rng.randrange(40)).hex()),
                ("SET", f"brief:{key}", "x", "PX", rng.randrange(1, 300)),
                ("APPEND", f"text:{key}", "more"),
                ("DEL", f"text:{key}", f"list:{key}"),
                ("INCR", f"number:{key}"),
                ("INCRBYFLOAT", f"float:{key}", "0.1"),
                ("RPUSH", f"list:{key}", *range(rng.randrange(1, 9))),
                ("LPOP", f"list:{key}"),
                ("SADD", f"set:{key}", *[rng.randrange(1000) for _ in range(5)]),
                ("SPOP", f"set:{key}", 2),
                ("HSET", f"hash:{key}", f"f{rng.randrange(50)}", rng.randrange(10**9)),
                ("HINCRBYFLOAT", f"hash:{key}", "float", "1.5"),
                ("ZADD", f"zset:{key}", rng.random(), f"m{rng.randrange(50)}"),
                ("ZPOPMIN", f"zset:{key}"),
                ("XADD", "events", "*", "f", key),
                ("XREADGROUP", "GROUP", "group", f"w{key % 5}", "COUNT", 2, "STREAMS", "events", ">"),
                ("XTRIM", "events", "MAXLEN", "~", 300),
                ("EXPIRE", f"list:{key}", rng.randrange(100, 1000)),
                ("EVAL", "redis.call('INCR', KEYS[1]); redis.call('LPUSH', KEYS[2], ARGV[1])", 2, f"number:{key}", f"list:{key}", "s"),
                ("RENAME", f"text:{key}", f"text:{key + 1}"),
                ("COPY", f"set:{key}", f"set:{key + 1}", "REPLACE"),
                ("SELECT", rng.choice([0, 0, 0, 3])),
            ]
        )

    def step(self, client):
        if self.rng.random() < 0.1:
            client.call("MULTI")
            for _ in range(self.rng.randrange(1, 5)):
                client.call(*self.command())
            client.call("EXEC")
        else:
            client.call(*self.command())
        self.written += 1
