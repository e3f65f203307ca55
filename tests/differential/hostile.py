"""Malformed and unusual bytes: both servers must answer the same, and close the connection or not.

Law: a case is raw bytes, sent as they are; compared is every byte that comes back, and whether the connection is closed
afterwards. After all cases both servers must still be alive.
"""

import random

from wire import Client, encode

QUIET_S = 0.12
PATIENT_S = 1
STUBBORN_S = 4
PING = b"PING\r\n"

# Name, bytes.
CASES = [
    ("an empty line", b"\r\n" + PING),
    ("a thousand empty lines", b"\r\n" * 1000 + PING),
    ("LF alone ends a line", b"PING\n"),
    ("blanks before a word", b"   PING\r\n"),
    ("a line without end", b"x" * (64 * 1024 + 1)),
    ("an open quote", b'SET k "abc\r\n' + PING),
    ("text behind a closing quote", b'SET k "abc"d\r\n' + PING),
    ("hexadecimal in quotes", b'SET k "\\x00\\xff\\n\\r\\t\\a\\b\\q"\r\nGET k\r\n'),
    ("single quotes", b"SET k 'it\\'s \\n'\r\nGET k\r\n"),
    ("an empty array", b"*0\r\n" + PING),
    ("array of minus one", b"*-1\r\n" + PING),
    ("array of minus two", b"*-2\r\n" + PING),
    ("array of minus 2^63", b"*-9223372036854775808\r\n" + PING),
    ("array of 2^31", b"*2147483648\r\n" + PING),
    ("array of too many digits", b"*99999999999999999999\r\n" + PING),
    ("array of letters", b"*abc\r\n" + PING),
    ("array without a number", b"*\r\n" + PING),
    ("blank behind a count", b"*1 \r\n" + PING),
    ("blank before a count", b"* 1\r\n" + PING),
    ("a count with plus", b"*+1\r\n" + PING),
    ("a count with a zero before it", b"*01\r\n" + PING),
    ("a count of minus zero", b"*-0\r\n" + PING),
    ("a count that ends in LF", b"*1\n$4\r\nPING\r\n"),
    ("64 KiB of digits as count", b"*" + b"1" * (64 * 1024 + 1)),
    ("an integer as argument", b"*1\r\n:1\r\n" + PING),
    ("an array as argument", b"*1\r\n*1\r\n" + PING),
    ("a status as argument", b"*1\r\n+OK\r\n" + PING),
    ("a null argument", b"*2\r\n$3\r\nGET\r\n$-1\r\n" + PING),
    ("an argument of minus two", b"*2\r\n$3\r\nGET\r\n$-2\r\n" + PING),
    ("an argument beyond the limit", b"*2\r\n$3\r\nGET\r\n$536870913\r\n" + PING),
    ("an argument of 2^63 - 1", b"*2\r\n$3\r\nGET\r\n$9223372036854775807\r\n" + PING),
    ("an argument of 2^64 - 1", b"*2\r\n$3\r\nGET\r\n$18446744073709551615\r\n" + PING),
    ("a length of letters", b"*1\r\n$abc\r\n" + PING),
    ("an argument without a length", b"*1\r\n$\r\n" + PING),
    ("64 KiB of digits as length", b"*1\r\n$" + b"1" * (64 * 1024 + 1)),
    ("an argument that does not end in CRLF", b"*1\r\n$4\r\nPINGxx" + PING),
    ("an argument longer than it says", b"*1\r\n$4\r\nPINGPING\r\n" + PING),
    ("an empty name", b"*1\r\n$0\r\n\r\n" + PING),
    ("a map as request", b"%1\r\n+a\r\n+b\r\n" + PING),
    ("a streamed string", b"*1\r\n$?\r\n" + PING),
    ("10,000 heads of arrays", b"*1\r\n" * 10_000 + PING),
    ("bytes above 127", bytes(range(128, 256)) + b"\r\n" + PING),
    ("a request of HTTP", b"POST / HTTP/1.1\r\nHost: x\r\n\r\n" + PING),
    ("a host line", b"host: x\r\n" + PING),
    ("a request of memcached", b"set k 0 0 1\r\na\r\n" + PING),
    ("the PROXY protocol", b"PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\n" + PING),
    ("a greeting of SSH", b"SSH-2.0-OpenSSH_9.2\r\n" + PING),
    ("a greeting of SMTP", b"EHLO example.org\r\n" + PING),
    ("a line of JSON", b'{"a": "b"c}\r\n' + PING),
    ("10,000 requests at once", b"*1\r\n$4\r\nPING\r\n" * 10_000),
    ("MSET with an odd number of 99,999 words", b"*100000\r\n$4\r\nMSET\r\n" + b"$1\r\na\r\n" * 99_999 + PING),
    ("an unknown command with words", encode([b"FOO", b"bar", b"b c", b""])),
    ("line ends in a name", encode([b"FO\r\nO", b"a\r\nb"])),
    ("a name of a megabyte", encode([b"x" * (1 << 20)])),
    ("many long words", encode([b"FOO", *[b"y" * 40] * 64])),
    ("a name that is no text", encode([b"\xff\xfe\x00x", b"\x00"])),
    ("a zero inside a name", encode([b"PI\x00NG"])),
    ("no key", encode([b"GET"])),
    ("a container alone", encode([b"CONFIG"])),
    ("an unknown subcommand", encode([b"CONFIG", b"FROB"])),
    ("HELLO 4", encode([b"HELLO", b"4"])),
    ("HELLO of letters", encode([b"HELLO", b"abc"])),
    ("HELLO with half of AUTH", encode([b"HELLO", b"3", b"AUTH", b"x"])),
    ("HELLO with a name of two words", encode([b"HELLO", b"3", b"SETNAME", b"a b"])),
    ("AUTH without a password", encode([b"AUTH", b"x"])),
    ("AUTH of nobody", encode([b"AUTH", b"nobody", b"x"])),
    ("SELECT out of range", encode([b"SELECT", b"-1"]) + encode([b"SELECT", b"16"]) + encode([b"SELECT", b"99999999999"])),
    ("GET while listening", encode([b"SUBSCRIBE", b"c"]) + encode([b"GET", b"k"]) + PING),
    ("MULTI twice", encode([b"MULTI"]) * 2 + encode([b"WATCH", b"k"]) + encode([b"EXEC"])),
    ("EXEC and DISCARD alone", encode([b"EXEC"]) + encode([b"DISCARD"])),
    ("an error inside MULTI", encode([b"MULTI"]) + encode([b"SET", b"k"]) + encode([b"EXEC"])),
    ("QUIT with a command behind it", encode([b"QUIT"]) + encode([b"SET", b"k", b"after-quit"])),
    ("RESET inside MULTI", encode([b"MULTI"]) + encode([b"RESET"]) + encode([b"EXEC"])),
    ("REPLY OFF and SKIP", encode([b"CLIENT", b"REPLY", b"SKIP"]) + PING * 2 + encode([b"CLIENT", b"REPLY", b"OFF"]) + PING
        + encode([b"CLIENT", b"REPLY", b"ON"]) + PING),
    ("SETRANGE far away", encode([b"SETRANGE", b"k", b"536870912", b"x"]) + encode([b"SETRANGE", b"k", b"-1", b"x"])
        + encode([b"SETRANGE", b"k", b"9223372036854775807", b"x"])),
    ("counts of minus 2^63", encode([b"SRANDMEMBER", b"k", b"-9223372036854775808"])
        + encode([b"HRANDFIELD", b"k", b"-4611686018427387905", b"WITHVALUES"])),
    ("rules that are none", encode([b"ACL", b"SETUSER", b"x", b"nope"]) + encode([b"ACL", b"SETUSER", b"x", b"(+get"])
        + encode([b"ACL", b"SETUSER", b"a b"])),
]


def answer(peer, data, pieces, quiet):
    """All that comes back until it is quiet for so many seconds, and whether the connection is closed."""
    client = Client(peer.port)
    try:
        at = 0
        for size in pieces:
            client.send_raw(data[at : at + size])
            at += size
        client.send_raw(data[at:])
    except OSError:
        pass  # Closed while it was sent to: what came back says so.
    found = client.rest(quiet)
    client.close()
    return found


def show(found):
    text, closed = found
    return f"{text[:160]!r}{f'... ({len(text)} bytes)' if len(text) > 160 else ''} {'closed' if closed else 'open'}"


def compare_case(run, name, data, pieces=()):
    # A loaded machine is silent for longer than a quick look takes, and one that stands still for longer than a patient one.
    for quiet in (QUIET_S, PATIENT_S, STUBBORN_S):
        for peer in run.peers:
            control = Client(peer.port)
            control.call("FLUSHALL")
            control.close()
        a, b = (answer(peer, data, pieces, quiet) for peer in run.peers)
        if a == b:
            break
    run.ops += 1
    if a != b:
        run.report(f"hostile: {name}", f"  {name}\n    reference: {show(a)}\n    ours:      {show(b)}")


def mutated(rng):
    """Right requests with something wrong in their bytes."""
    requests = [[b"SET", b"k", b"v"], [b"GET", b"k"], [b"PING"], [b"LPUSH", b"l", b"a", b"b"], [b"LRANGE", b"l", b"0", b"-1"]]
    data = bytearray(b"".join(encode(rng.choice(requests)) for _ in range(rng.randrange(1, 5))))
    for _ in range(rng.randrange(1, 4)):
        at = rng.randrange(len(data))
        way = rng.randrange(4)
        if way == 0:
            data[at] = rng.randrange(1, 256)
        elif way == 1:
            del data[at : at + rng.randrange(1, 4)]
        elif way == 2:
            data[at:at] = rng.choice([b"\r\n", b"*", b"$", b"-", b"0", b"9", b" ", b'"', b"\n", b"\xff"])
        else:
            del data[at:]
        if not data:
            data += b"\r\n"
    return bytes(data)


def compare(run):
    """The cases, then mutated requests until the time is over, in pieces of random sizes."""
    for name, data in CASES:
        compare_case(run, name, data)
    rng = random.Random(f"{run.options.seed}/hostile")
    while not run.over() and (run.options.keep_going or not run.findings):
        data = mutated(rng)
        pieces = [rng.randrange(1, 8) for _ in range(rng.randrange(3))]
        compare_case(run, f"mutated {data!r} in {pieces}", data, pieces)
    run.check_alive()
    for peer in run.peers:
        if not peer.alive():
            run.report("hostile", f"  {peer.name} has ended")
