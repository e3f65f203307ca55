"""An ordinary program with redis.asyncio: redis_py_asyncio.py URL   (both protocols)"""

import asyncio
import sys

import redis
import redis.asyncio as aio


async def many_tasks(r):
    """Two hundred tasks share a pool, and every addition counts."""

    async def add(n):
        async with r.pipeline(transaction=True) as pipe:
            await pipe.incr("sum").set(f"task:{n}", n).execute()

    await asyncio.gather(*(add(n) for n in range(200)))
    assert await r.get("sum") == "200"
    assert len([key async for key in r.scan_iter("task:*")]) == 200


async def queue(r):
    """A producer, and consumers that wait."""

    async def consume():
        got = []
        while (item := (await r.blpop("queue", timeout=30))[1]) != "end":
            got.append(item)
        return got

    consumers = [asyncio.create_task(consume()) for _ in range(4)]
    for n in range(100):
        await r.rpush("queue", n)
    await r.rpush("queue", *["end"] * 4)
    assert sorted(int(n) for got in await asyncio.gather(*consumers) for n in got) == list(range(100))


async def news(r):
    async with r.pubsub() as pubsub:
        await pubsub.psubscribe("news.*")
        heard = []

        async def listen():
            async for message in pubsub.listen():
                if message["type"] == "pmessage":
                    heard.append(message["data"])
                    if len(heard) == 10:
                        return

        listening = asyncio.create_task(listen())
        while await r.pubsub_numpat() != 1:
            await asyncio.sleep(0.01)
        for n in range(10):
            await r.publish(f"news.{n}", n)
        await asyncio.wait_for(listening, 30)
        assert heard == [str(n) for n in range(10)]


async def transactions(r):
    await r.set("account", 0)

    async def deposit():
        async def body(pipe):
            value = int(await pipe.get("account"))
            pipe.multi()
            pipe.set("account", value + 1)

        await r.transaction(body, "account")

    await asyncio.gather(*(deposit() for _ in range(20)))
    assert await r.get("account") == "20"


async def locks(r):
    inside = []

    async def enter():
        async with r.lock("door", timeout=30, sleep=0.005):
            inside.append(1)
            assert len(inside) == 1
            await asyncio.sleep(0.002)
            inside.pop()

    await asyncio.gather(*(enter() for _ in range(10)))


async def groups(r):
    await r.xgroup_create("events", "team", mkstream=True)
    for n in range(50):
        await r.xadd("events", {"n": n})

    async def member(name):
        done = []
        while True:
            answer = await r.xreadgroup("team", name, {"events": ">"}, count=5, block=50)
            if not answer:
                return done
            entries = answer["events"][0] if isinstance(answer, dict) else answer[0][1]
            for number, fields in entries:
                done.append(int(fields["n"]))
                await r.xack("events", "team", number)

    done = await asyncio.gather(*(member(f"member-{n}") for n in range(3)))
    assert sorted(n for part in done for n in part) == list(range(50))
    assert (await r.xpending("events", "team"))["pending"] == 0


async def cancelled(r):
    """A task that is cancelled while it blocks must not leave its answer to the next one."""
    waiting = asyncio.create_task(r.blpop("never", timeout=30))
    await asyncio.sleep(0.05)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    await r.set("after", "fine")
    assert await r.get("after") == "fine"


async def main():
    for protocol in (2, 3):
        # A pool of twenty: who comes when all are out waits.
        pool = aio.BlockingConnectionPool.from_url(sys.argv[1], protocol=protocol, decode_responses=True, max_connections=20)
        async with aio.Redis.from_pool(pool) as r:
            for part in (many_tasks, queue, news, transactions, locks, groups, cancelled):
                await part(r)
            await r.flushall()
    print(f"redis-py {redis.__version__}, asyncio")


asyncio.run(main())
