"""Counters for a web site: hits in slices of time, different visitors in a few kilobytes, who was there on a day as a bit, the best pages."""

import time

SLICES_S = (1, 60, 3600)
KEPT_SLICES = 120


def hit(r, page, visitor, now=None):
    """One round trip for everything that is counted."""
    now = now or time.time()
    day = time.strftime("%Y-%m-%d", time.gmtime(now))
    with r.pipeline(transaction=False) as pipe:
        for seconds in SLICES_S:
            start = int(now // seconds * seconds)
            key = f"hits:{page}:{seconds}:{start}"
            pipe.incr(key)
            pipe.expire(key, seconds * KEPT_SLICES)
        pipe.pfadd(f"visitors:{day}", visitor)
        pipe.setbit(f"active:{day}", visitor, 1)
        pipe.zincrby(f"pages:{day}", 1, page)
        pipe.execute()


def hits(r, page, seconds, slices, now=None):
    """The counts of the last slices, oldest first."""
    last = int((now or time.time()) // seconds * seconds)
    keys = [f"hits:{page}:{seconds}:{last - seconds * n}" for n in reversed(range(slices))]
    return [int(count or 0) for count in r.mget(keys)]


def visitors(r, *days):
    """How many different visitors all these days had: within a percent or so."""
    return r.pfcount(*[f"visitors:{day}" for day in days])


def loyal(r, *days):
    """How many came on each of these days, exactly."""
    r.bitop("AND", "active:all", *[f"active:{day}" for day in days])
    return r.bitcount("active:all")


def demo(r):
    noon = 1_750_000_000 // 86_400 * 86_400 + 12 * 3600
    with_days = [(noon, range(0, 300)), (noon + 86_400, range(200, 400))]
    for now, users in with_days:
        for user in users:
            hit(r, "/bread" if user % 3 else "/jam", user, now + user % 120)
    first, second = (time.strftime("%Y-%m-%d", time.gmtime(now)) for now, _ in with_days)
    assert sum(hits(r, "/jam", 60, 2, now=noon + 61)) == 100 and hits(r, "/jam", 60, 3, now=noon + 200) == [40, 0, 0]
    assert 392 <= visitors(r, first, second) <= 408
    assert loyal(r, first, second) == 100
    assert r.zrevrange(f"pages:{first}", 0, 0, withscores=True)[0][0] == "/bread"
