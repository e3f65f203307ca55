"""A counting semaphore: at most so many at a time, and who dies does not keep a place for ever.

The classic one is a sorted set of holders by the time until which they hold; a script makes the look and the change one step.
With pbjd it is as many locks as there are places: each holder has a place of its own, with a token.
"""

import secrets
import threading
import time

ENTER = """
local now = redis.call('TIME')
now = now[1] * 1000 + math.floor(now[2] / 1000)
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now)
if redis.call('ZSCORE', KEYS[1], ARGV[1]) or redis.call('ZCARD', KEYS[1]) < tonumber(ARGV[2]) then
  redis.call('ZADD', KEYS[1], now + ARGV[3], ARGV[1])
  return 1
end
return 0
"""


class ClassicSemaphore:
    def __init__(self, r, name, places, seconds=10):
        self.r, self.key, self.places, self.seconds = r, f"semaphore:{name}", places, seconds
        self.enter_or_refresh = r.register_script(ENTER)

    def enter(self):
        """What to leave with, or None when all places are taken. The time is the server's: clocks of clients may differ."""
        holder = secrets.token_hex(8)
        return holder if self.refresh(holder) else None

    def refresh(self, holder):
        return self.enter_or_refresh(keys=[self.key], args=[holder, self.places, int(self.seconds * 1000)])

    def leave(self, holder):
        return self.r.zrem(self.key, holder) == 1


class PbjSemaphore:
    def __init__(self, r, name, places, seconds=10):
        self.r, self.names, self.seconds = r, [f"{name}/{place}" for place in range(places)], seconds

    def enter(self):
        for name in self.names:
            token = self.r.execute_command("LOCK.TAKE", name, "semaphore", f"{self.seconds}s")
            if token is not None:
                return name, token
        return None

    def refresh(self, held):
        return self.r.execute_command("LOCK.EXTEND", *held)

    def leave(self, held):
        return self.r.execute_command("LOCK.DROP", *held) in (True, "OK", b"OK")


def crowd(semaphore):
    """The most that were inside at a time when twelve want to be."""
    inside, most, guard = 0, 0, threading.Lock()

    def visit():
        nonlocal inside, most
        while (held := semaphore.enter()) is None:
            time.sleep(0.005)
        with guard:
            inside += 1
            most = max(most, inside)
        time.sleep(0.03)
        with guard:
            inside -= 1
        assert semaphore.leave(held)

    threads = [threading.Thread(target=visit) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return most


def demo(r):
    for kind in (ClassicSemaphore, PbjSemaphore):
        assert crowd(kind(r, "door", places=3)) == 3
        brief = kind(r, "brief", places=1, seconds=3)
        dead = brief.enter()
        assert dead and brief.enter() is None and brief.refresh(dead)
        time.sleep(3.1)
        assert brief.enter(), "the place of who does not come back is free again"
