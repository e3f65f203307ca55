"""A lock for several machines: with Redis's commands, and with the verbs of pbjd.

Any lock with a time limit can be lost while its holder still believes in it (a pause of the program is enough). What a holder
writes elsewhere is safe only if that place can tell an old holder from a new one: by a token that rises with each holder.
"""

import contextlib
import secrets
import threading
import time

RELEASE = "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end return 0"


class Lost(Exception):
    """The lock was not held any more when it was given back."""


@contextlib.contextmanager
def classic_lock(r, name, seconds=10, wait_s=10):
    """SET NX PX, and a script that gives back only what is still ours. Whoever waits has to ask again and again."""
    token = secrets.token_hex(16)
    give_up = time.monotonic() + wait_s
    while not r.set(f"lock:{name}", token, nx=True, px=int(seconds * 1000)):
        if time.monotonic() > give_up:
            raise TimeoutError(name)
        time.sleep(0.01)
    try:
        yield
    finally:
        if not r.eval(RELEASE, 1, f"lock:{name}", token):
            raise Lost(name)


@contextlib.contextmanager
def pbj_lock(r, name, seconds=10, wait_s=10):
    """LOCK.TAKE waits in line, first come first served, without asking again; the token it gives rises with every holder."""
    owner = secrets.token_hex(4)
    token = r.execute_command("LOCK.TAKE", name, owner, f"{seconds}s", "WAIT", int(wait_s * 1000))
    if token is None:
        raise TimeoutError(name)
    try:
        yield int(token)
    finally:
        try:
            r.execute_command("LOCK.DROP", name, token)
        except Exception as error:
            raise Lost(name) from error


class Store:
    """A place outside of Redis that refuses who is too late."""

    def __init__(self):
        self.newest, self.value = 0, None

    def write(self, token, value):
        if token < self.newest:
            return False
        self.newest, self.value = token, value
        return True


def one_at_a_time(r, lock):
    """Threads that read, wait and write: with a lock around it nothing is lost."""
    r.set("counter", 0)

    def add():
        for _ in range(5):
            with lock(r, "counter"):
                value = int(r.get("counter"))
                time.sleep(0.001)
                r.set("counter", value + 1)

    threads = [threading.Thread(target=add) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return int(r.get("counter"))


def demo(r):
    for lock in (classic_lock, pbj_lock):
        assert one_at_a_time(r, lock) == 30
        with lock(r, "held"):
            try:
                with lock(r, "held", wait_s=0.05):
                    raise AssertionError("two holders")
            except TimeoutError:
                pass
        try:
            with lock(r, "short", seconds=1):
                time.sleep(1.2)
            raise AssertionError("a lock that has run out is not given back")
        except Lost:
            pass
    store = Store()
    with pbj_lock(r, "fenced") as old:
        pass
    with pbj_lock(r, "fenced") as new:
        assert new > old and store.write(new, "mine") and not store.write(old, "too late") and store.value == "mine"
