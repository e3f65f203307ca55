"""A cache: what is slow to make is kept for a while, is made once when many want it at once, and is forgotten when its source changes."""

import functools
import json
import threading
import time


def cached(r, seconds, make_max_s=10):
    """Keeps the results of a function by its arguments.

    When there is no result, the one who sets the mark makes it; the others wait for it, and make it themselves only when the
    first took too long: a popular page that expires does not become a stampede.
    """

    def decorate(function):
        def key_of(arguments):
            return f"cache:{function.__name__}:{json.dumps(arguments)}"

        @functools.wraps(function)
        def call(*arguments):
            key = key_of(arguments)
            give_up = time.monotonic() + make_max_s
            while (found := r.get(key)) is None:
                if r.set(f"{key}:making", 1, nx=True, ex=make_max_s) or time.monotonic() > give_up:
                    # Somebody may have made it between our look and our mark.
                    if (found := r.get(key)) is None:
                        found = json.dumps(function(*arguments))
                        r.set(key, found, ex=seconds)
                    r.delete(f"{key}:making")
                    break
                time.sleep(0.01)
            return json.loads(found)

        call.forget = lambda *arguments: r.unlink(key_of(arguments))
        return call

    return decorate


def demo(r):
    made = []

    @cached(r, seconds=60)
    def profile(user):
        made.append(user)
        time.sleep(0.1)
        return {"name": user.title()}

    threads = [threading.Thread(target=profile, args=["ann"]) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert profile("ann") == {"name": "Ann"} and made == ["ann"], "eight asked, one made it"
    assert profile("bob") == {"name": "Bob"} and made == ["ann", "bob"]
    profile.forget("ann")
    assert profile("ann") and made == ["ann", "bob", "ann"]
