"""Autocomplete: names in a sorted set where all scores are equal are in the order of their bytes, so a prefix is a range."""

CONTACTS_MAX = 100


def learn(r, names):
    """The key is the lower case, for the order; the name as written comes after a byte that no name has."""
    r.zadd("names", {f"{name.lower()}\0{name}": 0 for name in names})


def complete(r, prefix, count=10):
    prefix = prefix.lower()
    found = r.zrangebylex("names", f"[{prefix}", b"[" + prefix.encode() + b"\xff", start=0, num=count)
    return [name.partition("\0")[2] for name in found]


def wrote_to(r, user, contact):
    """The last people somebody wrote to: small enough to be filtered by the program."""
    with r.pipeline() as pipe:
        pipe.lrem(f"recent:{user}", 0, contact)
        pipe.lpush(f"recent:{user}", contact)
        pipe.ltrim(f"recent:{user}", 0, CONTACTS_MAX - 1)
        pipe.execute()


def recent(r, user, prefix):
    return [contact for contact in r.lrange(f"recent:{user}", 0, -1) if contact.startswith(prefix)]


def demo(r):
    learn(r, ["Peanut", "Peach", "Pear", "Plum", "pea", "Zoë", "Žluťoučký"])
    assert complete(r, "pea") == ["pea", "Peach", "Peanut", "Pear"]
    assert complete(r, "PEA", count=2) == ["pea", "Peach"]
    assert complete(r, "zo") == ["Zoë"] and complete(r, "ž") == ["Žluťoučký"] and complete(r, "q") == []
    for contact in ("bob", "bert", "ann", "bob"):
        wrote_to(r, "me", contact)
    assert recent(r, "me", "b") == ["bob", "bert"]
