"""arq."""

import asyncio
import os

import arq
import arq.connections
import arq.constants
import bodies

DELAY_S = float(os.environ["TRIAL_DELAY_S"])


async def plain(context, number):
    return await asyncio.to_thread(bodies.plain, number)


async def flaky(context, number):
    try:
        return bodies.flaky(number)
    except bodies.NotYet as error:
        raise arq.Retry(defer=0.1) from error


async def later(context, number):
    return bodies.later(number)


class Worker:
    functions = [plain, flaky, later]
    redis_settings = arq.connections.RedisSettings(host=bodies.HOST, port=int(bodies.PORT), conn_retries=100, conn_retry_delay=0.05)
    max_jobs = 2
    poll_delay = 0.05
    # A job that a worker held when its connection broke is taken up again after this long and ten seconds more.
    job_timeout = 3
    max_tries = 10


_loop = asyncio.new_event_loop()
_pool = None


async def _enqueue(kind, number):
    global _pool
    if _pool is None:
        _pool = await arq.create_pool(Worker.redis_settings)
    job = await _pool.enqueue_job(kind, number, _job_id=number, _defer_by=DELAY_S if kind == "later" else None)
    # Nothing means that the job is there already. It is also what comes of a connection that broke while a key was watched:
    # redis-py then says that the key changed.
    keys = (arq.constants.job_key_prefix + number, arq.constants.result_key_prefix + number)
    if job is None and not await _pool.exists(*keys):
        raise ConnectionError("not enqueued")


async def _result(number):
    pool = await arq.create_pool(Worker.redis_settings)
    return await arq.jobs.Job(number, pool).result(timeout=10)


def enqueue(kind, number):
    _loop.run_until_complete(_enqueue(kind, number))


def result(number):
    return _loop.run_until_complete(_result(number))
