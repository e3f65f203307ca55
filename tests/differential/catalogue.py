"""A fixed list of remarkable cases: what implementations get wrong, each in a few requests.

Law: each case begins with empty databases and a new connection, in both protocols; every reply must be the same.
A case is a line: requests separated by `;`, words by blanks, `_` for an empty word. `@b` sends the request from a second
connection.
"""

from compare import difference, line
from known import excuse
from wire import Client, Closed, Silent

CASES = """
SET k v GET; SET k w NX GET; SET k x XX GET EX 100; TTL k; SET k y KEEPTTL; TTL k; SET k z; TTL k
SET k v NX XX; SET k v EX 0; SET k v EX -1; SET k v PX 9223372036854775807; SET k v EXAT 1 KEEPTTL; SET k v EX
LPUSH l a; SET l v GET; GET l; GETSET l v; GETDEL l; GETEX l PERSIST
SET n 9223372036854775807; INCR n; DECRBY n -9223372036854775808; INCRBY n -1; GET n; APPEND n x; INCR n
SET n 10.50; INCRBYFLOAT n 0.1; INCRBYFLOAT n -5e3; INCRBYFLOAT n nan; INCRBYFLOAT n 1e400; INCRBYFLOAT n 1e-7; TYPE n
SETRANGE s 5 x; GET s; GETRANGE s 0 -1; GETRANGE s -3 -1; GETRANGE s 9 3; SETRANGE s 0 _; STRLEN s; SETRANGE e 3 _; EXISTS e
MSETNX a 1 b 2; MSETNX b 3 c 4; MGET a b c; MSET a; MSET a 1 a 2; GET a
LPOP l; LPOP l 1; LPOP l 0; RPUSH l a b c; LPOP l 0; LPOP l -1; LPOP l 9; EXISTS l
RPUSH l a b c a b; LPOS l a RANK -1; LPOS l a COUNT 0; LPOS l a RANK 0; LPOS l b RANK -1 COUNT 2; LPOS l x COUNT 1; LPOS l a MAXLEN 1
RPUSH l a b c; LINSERT l BEFORE c x; LINSERT l AFTER z y; LINSERT m BEFORE a b; LSET l 9 x; LSET m 0 x; LSET l -1 z; LRANGE l 0 -1
RPUSH l 1 2 3; LTRIM l 5 9; EXISTS l; RPUSH l 1; LTRIM l 1 0; EXISTS l; LMOVE l m LEFT RIGHT; RPOPLPUSH m m
LMPOP 0 l LEFT; LMPOP 1 l LEFT COUNT 0; LMPOP 2 l LEFT; LMPOP 1 l MIDDLE; RPUSH l a b; LMPOP 2 k l RIGHT COUNT 5; EXISTS l
SADD s 1 2 3; OBJECT ENCODING s; SADD s a; OBJECT ENCODING s; SREM s a; OBJECT ENCODING s; SPOP s 0; SRANDMEMBER s 0; SRANDMEMBER t; SPOP t 1
SADD s a b; SMOVE s s a; SMOVE s t x; SMOVE s t a; SCARD s; SMISMEMBER s a b; SINTERCARD 2 s t LIMIT -1; SINTERCARD 0 s; SDIFFSTORE s s s
HSET h a 1 b; HSET h a 1; HINCRBY h a 9223372036854775807; HINCRBYFLOAT h a 1e-400; HSETNX h a 2; HRANDFIELD h 0; HRANDFIELD g 1; HGETALL g
HSET h f 1; HDEL h f f g; EXISTS h; HINCRBY h f x; HSET h f x; HINCRBY h f 1; HINCRBYFLOAT h f 1; HMGET h f g; HSTRLEN h g
ZADD z NX XX 1 a; ZADD z GT LT 1 a; ZADD z INCR 1 a 2 b; ZADD z XX INCR 1 a; ZADD z 1 a; ZADD z GT CH 0 a 2 b; ZADD z nan a; ZSCORE z a
ZADD z inf a; ZINCRBY z -inf a; ZADD z -0 b 1e-5 c 1e17 d 0.1 e 0x10 f; ZRANGE z 0 -1 WITHSCORES; ZRANGEBYSCORE z (0 +inf LIMIT 0 -1
ZADD z 0 a 0 b 0 c 0 d; ZRANGEBYLEX z - [c; ZRANGEBYLEX z [b (d; ZRANGEBYLEX z b d; ZREVRANGEBYLEX z + (b; ZLEXCOUNT z - +; ZRANGE z [d [a BYLEX REV
ZADD z 1 a 2 b 3 c; ZRANGE z 0 -1 LIMIT 0 1; ZRANGE z 3 1 BYSCORE REV WITHSCORES; ZRANGE z 1 3 BYSCORE LIMIT 1 1; ZRANGESTORE y z 0 0; ZRANGE y 0 -1 REV
ZPOPMIN z; ZPOPMIN z 0; ZADD z 1 a 2 b; ZPOPMAX z 9; ZMPOP 1 z MIN; ZRANDMEMBER z; ZRANDMEMBER z 1 WITHSCORES; ZADD z 1 a; ZRANDMEMBER z -3 WITHSCORES
ZADD a 1 x 2 y; SADD b x; ZINTER 2 a b WITHSCORES; ZUNION 2 a b WEIGHTS 2 3 AGGREGATE MAX WITHSCORES; ZDIFF 2 a b; ZINTERCARD 2 a b LIMIT 1; ZUNIONSTORE d 0 a; ZUNIONSTORE d 2 a
SET k v; EXPIRE k 100 NX; EXPIRE k 50 GT; EXPIRE k 50 LT; EXPIRE k 10 XX; EXPIRE k 1 NX XX; EXPIRE k 1 ZZ; PERSIST k; TTL k; EXPIRE k -1; TTL k; EXPIRETIME k
SET k v; EXPIRE k 9223372036854775807; EXPIREAT k -9223372036854775808; EXISTS k; SET k v PXAT 9223372036854775807; PTTL m; PEXPIRETIME m
SET k v EX 100; RENAME k k; RENAME k m; TTL m; RENAMENX m m; RENAME n o; COPY m m; COPY m p DB 1; COPY m p DB 99; MOVE m 1; MOVE m 0; EXISTS m
SELECT 1; SET k v; SELECT 0; SWAPDB 0 1; GET k; SWAPDB 0 99; SWAPDB a 1; SELECT 99; SELECT -1; DBSIZE; FLUSHDB ASYNC; FLUSHALL SYNC; FLUSHALL NOW
SCAN abc; SCAN 0 COUNT 0; SCAN 0 TYPE nope; SET k v; SCAN 0 MATCH k* COUNT 100; SCAN 0 FOO; HSCAN k 0; SSCAN m 0
SET k v; OBJECT ENCODING k; OBJECT FREQ k; OBJECT REFCOUNT k; OBJECT ENCODING m; OBJECT NOPE k; MEMORY USAGE m; DEBUG OBJECT m; TOUCH k k m; EXISTS k k m
MULTI; SET k v; INCR k; GET k; EXEC; GET k; MULTI; NOPE; SET k w; EXEC; GET k
WATCH k; @b SET k other; MULTI; SET k mine; EXEC; GET k; WATCH k; UNWATCH; @b SET k again; MULTI; GET k; EXEC
WATCH k; @b SET k v PX 1; MULTI; PING; EXEC; WATCH m; @b DEL m; MULTI; PING; EXEC; MULTI; MULTI; WATCH a; DISCARD; DISCARD
MULTI; BLPOP l 0; BZPOPMIN z 0; BLMOVE l m LEFT LEFT 0; BLMPOP 0 1 l LEFT; EXEC
BLPOP l -1; BLPOP l abc; BLPOP l inf; BLPOP l 0.01; BZPOPMIN z 0.01; BLMOVE l m LEFT LEFT 0.01; BLMPOP 0.01 1 l LEFT; SET l x; BLPOP l 0.01
SUBSCRIBE a b; UNSUBSCRIBE a; UNSUBSCRIBE a; PING; PING x; RESET; UNSUBSCRIBE; PUNSUBSCRIBE; PUBLISH a x; PUBSUB CHANNELS; PUBSUB NUMSUB a b
CONFIG GET maxmemory maxmem*; CONFIG SET maxmemory 1mb maxmemory 2mb; CONFIG SET nope 1; CONFIG SET port abc; CONFIG SET maxmemory-policy x; CONFIG GET nope; CONFIG SET appendonly
CONFIG SET notify-keyspace-events Q; CONFIG SET notify-keyspace-events KEA; CONFIG GET notify-keyspace-events; CONFIG SET notify-keyspace-events _; CONFIG SET save "1"; CONFIG SET hz -1
ACL SETUSER a on >p ~k* &c +@read -get +config|get; ACL GETUSER a; ACL SETUSER a (+set ~x) nope; ACL DRYRUN a get k; ACL DRYRUN a set x 1; ACL DRYRUN a hget z f; ACL DRYRUN b get k; ACL DELUSER a default; ACL DELUSER a; ACL GETUSER a
ACL SETUSER a reset on nopass +@all -@dangerous; ACL LIST; ACL SETUSER a +@nope; ACL SETUSER a %R; ACL SETUSER a %X~k; ACL SETUSER a allkeys ~x; ACL SETUSER a <none; ACL SETUSER a #zz; ACL WHOAMI; ACL CAT nope; ACL GENPASS 0; ACL DELUSER a
AUTH x; AUTH a b c; AUTH default x; HELLO 9; HELLO 2 AUTH a; CLIENT SETNAME "a b"; CLIENT SETNAME _; CLIENT GETNAME; CLIENT REPLY NOPE; CLIENT NO-EVICT x; CLIENT KILL ID -1; CLIENT KILL 1.2.3.4:5; CLIENT UNBLOCK 99999999; CLIENT PAUSE x; CLIENT TRACKING x
CLIENT TRACKING ON PREFIX a; CLIENT TRACKING ON BCAST PREFIX a PREFIX ab; CLIENT TRACKING ON OPTIN OPTOUT; CLIENT CACHING YES; CLIENT TRACKING ON OPTIN; CLIENT CACHING NO; CLIENT CACHING YES; CLIENT TRACKINGINFO; CLIENT TRACKING ON BCAST; CLIENT GETREDIR; CLIENT TRACKING ON REDIRECT 99999999
SLOWLOG GET x; SLOWLOG GET -2; SLOWLOG LEN x; SLOWLOG NOPE; LATENCY NOPE; LATENCY HISTORY nope; LATENCY RESET nope; LATENCY GRAPH nope; MEMORY NOPE; OBJECT; DEBUG NOPE; COMMAND GETKEYS GET; COMMAND GETKEYS MSET a 1 b 2; COMMAND INFO nope
LCS a b; MSET a ohmytext b mynewtext; LCS a b; LCS a b LEN; LCS a b IDX MINMATCHLEN 4 WITHMATCHLEN; LCS a b IDX LEN; SUBSTR a 0 2
""".strip().splitlines()


def parse(case):
    """The requests of a line, each with the number of its connection."""
    for request in case.split(";"):
        words = request.split()
        second = words[0] == "@b"
        words = [b"" if word == "_" else word.strip('"').encode() for word in words[second:]]
        yield int(second), words


def play(peer, protocol, case):
    control = Client(peer.port)
    for command in ("FLUSHALL", "CONFIG SET maxmemory 0", "CONFIG SET notify-keyspace-events"):
        words = command.split()
        control.call(*(words if len(words) != 3 else [*words, ""]))
    control.close()
    clients = [Client(peer.port), Client(peer.port)]
    for client in clients:
        client.call("HELLO", protocol)
    replies = []
    try:
        for number, args in parse(case):
            replies.append((args, talk(clients[number], args)))
    finally:
        for client in clients:
            client.close()
    return replies


def talk(client, args):
    """The frames that a request is answered with: several for those that subscribe."""
    client.send(args)
    name = args[0].upper()
    count = max(1, len(args) - 1) if name.endswith(b"SUBSCRIBE") else 1
    frames = []
    try:
        for _ in range(count):
            frames.append(client.frame())
    except Closed:
        frames.append(("closed", None))
    except Silent:
        frames.append(("silent", None))
    return frames


def compare(run):
    """All cases, in both protocols."""
    for nth, case in enumerate(CASES):
        for protocol in (2, 3):
            a, b = (play(peer, protocol, case) for peer in run.peers)
            queued = []
            for (args, x), (_, y) in zip(a, b):
                run.ops += 1
                name = args[0].upper()
                if name == b"MULTI":
                    queued = []
                found = None
                if len(x) != len(y) or any(f != g and difference(args, f, g, queued, excuse) for f, g in zip(x, y)):
                    found = difference(args, x[0], y[0], queued, excuse) or f"  {line(args)}\\n    {x}\\n    {y}"
                if x[0] == ("+", b"QUEUED"):
                    queued.append(args)
                if found:
                    run.report(f"catalogue {nth} (RESP{protocol})", found, [case])
    run.check_alive()
