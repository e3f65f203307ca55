"""WAITAOF: what is on how many disks, on both sides of a link."""

LOG = ["--appendonly", "yes", "--appendfsync", "everysec"]
NO_LOG = ["--appendonly", "no"]


def disks(lab):
    """A master with a log, a replica with one and a replica without."""
    head = lab.start("pbjd", *LOG)
    safe, unsafe = lab.start("pbjd", *LOG), lab.start("pbjd", *NO_LOG)
    servers = [head, safe, unsafe]
    try:
        for follower in (safe, unsafe):
            follower.follow(head.port)
            lab.until("the link is up", lambda follower=follower: lab.is_linked(follower))
        head.ask("SET", "k", "1")
        expect(lab, head, [("+", b"OK")], "SET", "k", "2")
        expect(lab, head, [(":", 1), (":", 1)], "WAITAOF", 1, 1, 10_000)
        # The one without a log never has it on its disk, though it has it.
        head.ask("SET", "k", "3")
        expect(lab, head, [(":", 1), (":", 1)], "WAITAOF", 1, 1, 10_000)
        expect(lab, head, [(":", 1), (":", 1)], "WAITAOF", 1, 2, 1_000)
        if head.ask("WAIT", 2, 5_000) != 2:
            raise lab.Wrong("WAIT does not count both replicas")
        refused(lab, safe, b"WAITAOF cannot be used with replica instances", "WAITAOF", 0, 0, 10)
        unsafe.ask("REPLICAOF", "NO", "ONE")
        refused(lab, unsafe, b"numlocal is set but appendonly is disabled", "WAITAOF", 1, 0, 10)
        return "as many disks as there are"
    finally:
        lab.stop_all(servers)


def expect(lab, server, wanted, *words):
    kind, content = server.client.call(*words)
    found = content if kind == "*" else [(kind, content)]
    if list(found) != wanted:
        raise lab.Wrong(f"{words} answers {found}, not {wanted}")


def refused(lab, server, text, *words):
    kind, content = server.client.call(*words)
    if kind != "-" or text not in content:
        raise lab.Wrong(f"{words} answers {content!r}")
