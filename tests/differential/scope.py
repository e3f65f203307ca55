"""Which commands are compared, and with which keys they are made to meet.

The list grows with what PBJ can do; a command that is not here is not compared.
"""

import grammar_types as types

GROUPS = {
    "string": (
        "append decr decrby get getdel getex getrange getset incr incrby incrbyfloat lcs mget mset msetnx psetex set "
        "setex setnx setrange strlen substr"
    ).split(),
    "list": (
        "lindex linsert llen lmove lmpop lpop lpos lpush lpushx lrange lrem lset ltrim rpop rpoplpush rpush rpushx"
    ).split(),
    "waiting": "blmove blmpop blpop brpop brpoplpush bzmpop bzpopmax bzpopmin".split(),
    "set": (
        "sadd scard sdiff sdiffstore sinter sintercard sinterstore sismember smembers smismember smove spop "
        "srandmember srem sscan sunion sunionstore"
    ).split(),
    "hash": (
        "hdel hexists hget hgetall hincrby hincrbyfloat hkeys hlen hmget hmset hrandfield hscan hset hsetnx hstrlen "
        "hvals"
    ).split(),
    "zset": (
        "zadd zcard zcount zdiff zdiffstore zincrby zinter zintercard zinterstore zlexcount zmpop zmscore zpopmax "
        "zpopmin zrandmember zrange zrangebylex zrangebyscore zrangestore zrank zrem zremrangebylex zremrangebyrank "
        "zremrangebyscore zrevrange zrevrangebylex zrevrangebyscore zrevrank zscan zscore zunion zunionstore"
    ).split(),
    "generic": (
        "copy del exists expire expireat expiretime keys move object|encoding object|freq object|idletime "
        "object|refcount persist pexpire pexpireat pexpiretime pttl randomkey rename renamenx scan touch ttl type "
        "unlink"
    ).split(),
    "server": "dbsize echo flushall flushdb memory|usage ping select swapdb time".split(),
    "connection": "client|getname client|id client|setname command|count hello".split(),
    "pubsub": "publish pubsub|channels pubsub|numpat pubsub|numsub spublish".split(),
    "transactions": "discard exec multi unwatch watch".split(),
    **types.GROUPS,
}

# Keys are named after the type they usually hold.
KEY_POOLS = {
    "string": "s", "list": "l", "waiting": "llz", "set": "ttttttttz", "hash": "h", "zset": "zzzzzzzzt",
    **types.KEY_POOLS,
}

# How often each family is drawn in a walk of one client.
WEIGHTS = {
    "string": 20, "list": 17, "set": 16, "hash": 16, "zset": 30, "generic": 16, "server": 4, "connection": 1, "pubsub": 1,
    **types.WEIGHTS,
}

# These empty everything, and are drawn seldom.
RARE = {"flushall", "flushdb", "swapdb", "select", "move"}

ALL = [name for names in GROUPS.values() for name in names]
