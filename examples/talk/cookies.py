"""Login cookies: a random token is a key with the session, which dies by itself when nobody has come for a while."""

import secrets
import time

IDLE_MAX_S = 30 * 60
SEEN_MAX = 25


def login(r, user):
    token = secrets.token_urlsafe(24)
    with r.pipeline() as pipe:
        pipe.hset(f"session:{token}", mapping={"user": user, "since": time.time()})
        pipe.expire(f"session:{token}", IDLE_MAX_S)
        pipe.sadd(f"sessions-of:{user}", token)
        pipe.execute()
    return token


def visit(r, token, page):
    """The user of a token, or None. A visit keeps the session alive, and remembers the last pages seen."""
    user = r.hget(f"session:{token}", "user")
    if user is None:
        return None
    with r.pipeline() as pipe:
        pipe.expire(f"session:{token}", IDLE_MAX_S)
        pipe.lrem(f"seen:{token}", 0, page)
        pipe.lpush(f"seen:{token}", page)
        pipe.ltrim(f"seen:{token}", 0, SEEN_MAX - 1)
        pipe.expire(f"seen:{token}", IDLE_MAX_S)
        pipe.execute()
    return user


def logout_everywhere(r, user):
    tokens = r.smembers(f"sessions-of:{user}")
    return r.unlink(f"sessions-of:{user}", *[f"session:{token}" for token in tokens], *[f"seen:{token}" for token in tokens])


def demo(r):
    token = login(r, "ann")
    assert visit(r, token, "/bread") == "ann" and visit(r, token, "/jam") == "ann" and visit(r, token, "/bread") == "ann"
    assert r.lrange(f"seen:{token}", 0, -1) == ["/bread", "/jam"]
    assert visit(r, "guessed", "/") is None
    r.pexpire(f"session:{token}", 20)
    time.sleep(0.05)
    assert visit(r, token, "/") is None, "the session died of boredom"
    again = login(r, "ann")
    logout_everywhere(r, "ann")
    assert visit(r, again, "/") is None
