"""A voting site: articles, one vote for each user, and lists by score and by time.

An article is a hash. Two sorted sets order all articles, and a set for each article remembers who voted. A vote is one
transaction: nobody sees the score without the vote.
"""

import time

VOTE_IS_WORTH_S = 432  # 200 votes keep an article up for a day
VOTING_LASTS_S = 7 * 86_400


def post(r, author, title, link):
    number = r.incr("article:last")
    now = time.time()
    with r.pipeline() as pipe:
        pipe.hset(f"article:{number}", mapping={"title": title, "link": link, "author": author, "time": now, "votes": 1})
        pipe.sadd(f"voted:{number}", author)
        pipe.expire(f"voted:{number}", VOTING_LASTS_S)
        pipe.zadd("by-score", {number: now + VOTE_IS_WORTH_S})
        pipe.zadd("by-time", {number: now})
        pipe.execute()
    return number


def vote(r, user, number):
    """Whether the vote counted: each user has one, and an old article has no more."""
    posted = r.zscore("by-time", number)
    if posted is None or posted < time.time() - VOTING_LASTS_S:
        return False
    if not r.sadd(f"voted:{number}", user):
        return False
    with r.pipeline() as pipe:
        pipe.zincrby("by-score", VOTE_IS_WORTH_S, number)
        pipe.hincrby(f"article:{number}", "votes", 1)
        pipe.execute()
    return True


def page(r, page, order="by-score", size=25):
    numbers = r.zrevrange(order, (page - 1) * size, page * size - 1)
    with r.pipeline(transaction=False) as pipe:
        for number in numbers:
            pipe.hgetall(f"article:{number}")
        return [{**article, "id": int(number)} for number, article in zip(numbers, pipe.execute())]


def demo(r):
    first = post(r, "ann", "Bread", "http://bread.example")
    second = post(r, "bob", "Jam", "http://jam.example")
    assert [article["title"] for article in page(r, 1, order="by-time")] == ["Jam", "Bread"]
    assert vote(r, "cid", first) and vote(r, "dan", first)
    assert not vote(r, "cid", first), "one vote each"
    assert not vote(r, "ann", first), "and authors have had theirs"
    assert not vote(r, "cid", 999), "no such article"
    best = page(r, 1)
    assert [article["id"] for article in best] == [first, second] and best[0]["votes"] == "3"
