"""What a server tells about itself: commands, directives, fields of INFO. Nothing that redis-server has may be missing
or look otherwise.

Law: what differs is named here, with its reason. Having more than redis-server is no difference.
"""

from wire import Client

# Parts of a command that differ on purpose.
COMMANDS = {
    ("zrank", "arity"): "WITHSCORE came with Redis 7.2",
    ("zrevrank", "arity"): "WITHSCORE came with Redis 7.2",
}
# Directives whose values differ on purpose, or because the two servers were started so.
VALUES = {
    "appendonly": "yes by default: a queue that forgets is none",
    "bind": "the loopback interface by default",
    "dir": "each has its own",
    "port": "each has its own",
    "io-threads": "pbjd chooses the number itself by default",
    "lazyfree-lazy-expire": "yes by default, as in Valkey since version 8",
    "lazyfree-lazy-server-del": "big values are always freed aside",
    "lazyfree-lazy-user-del": "yes by default, as in Valkey since version 8",
    "lazyfree-lazy-user-flush": "yes by default, as in Valkey since version 8",
    "supervised": "found out by itself by default",
    "save": "nothing by default: the log is there already",
    "repl-diskless-sync-delay": "0 by default: nothing is forked, so nothing is gained by waiting",
    "loglevel": "each was started with its own",
}
PARTS = ["arity", "flags", "first key", "last key", "step", "categories", "tips", "key specifications"]


def plain(frame):
    """The content of a frame without its protocol; what has no order is sorted, notes of key specifications are left
    out, because they are words for humans."""
    kind, content = frame
    if kind == "~":
        return sorted((plain(item) for item in content), key=repr)
    if kind == "%":
        pairs = zip(content[::2], content[1::2])
        return {key[1].decode(): plain(value) for key, value in pairs if key[1] != b"notes"}
    if kind == "*":
        return [plain(item) for item in content]
    return content.decode() if isinstance(content, bytes) else content


def commands(client):
    """All commands and subcommands: what COMMAND says of each."""
    found = {}

    def note(entry):
        kinds = entry[1]
        found[plain(kinds[0])] = dict(zip(PARTS, (plain(part) for part in kinds[1:9])))
        for child in kinds[9][1]:
            note(child)

    for entry in client.call("COMMAND")[1]:
        note(entry)
    return found


def directives(client):
    return plain(client.call("CONFIG", "GET", "*"))


def fields(client):
    """The fields of each section of INFO; not those that only tell what happened so far."""
    found, section = {}, None
    for line in client.call("INFO", "everything")[1].decode().removeprefix("txt:").split("\r\n"):
        if line.startswith("# "):
            section = found.setdefault(line[2:], [])
        elif ":" in line and not line.startswith(("cmdstat_", "errorstat_", "latency_percentiles_", "db")):
            section.append(line.split(":")[0])
    return found


def compare(run):
    """Everything that one can ask for by name."""
    clients = [Client(peer.port) for peer in run.peers]
    for client in clients:
        client.call("HELLO", "3")
    reference, ours = (commands(client) for client in clients)
    for name, expected in reference.items():
        run.ops += 1
        if name not in ours:
            run.report("surface: COMMAND", f"  {name} is missing")
            continue
        for part in PARTS:
            if ours[name][part] != expected[part] and (name, part) not in COMMANDS:
                run.report(
                    "surface: COMMAND",
                    f"  {name}: {part}\n    reference: {expected[part]}\n    ours:      {ours[name][part]}",
                )
    reference, ours = (directives(client) for client in clients)
    for name, expected in reference.items():
        run.ops += 1
        if name not in VALUES and ours.get(name) != expected:
            run.report("surface: CONFIG", f"  {name}: reference {expected!r}, ours {ours.get(name)!r}")
    reference, ours = (fields(client) for client in clients)
    if list(reference) != list(ours):
        run.report("surface: INFO", f"  sections\n    reference: {list(reference)}\n    ours:      {list(ours)}")
    for section, names in reference.items():
        run.ops += 1
        absent = [name for name in names if name not in ours.get(section, [])]
        if absent:
            run.report("surface: INFO", f"  {section} lacks {' '.join(absent)}")
    for client in clients:
        client.close()
    run.check_alive()
