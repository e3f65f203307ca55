"""rpqueue, as it is on PyPI."""

import os

import bodies
import rpqueue

DELAY_S = float(os.environ["TRIAL_DELAY_S"])

rpqueue.set_redis_connection_settings(host=bodies.HOST, port=int(bodies.PORT))


# A task that was taken and not done comes back after `vis_timeout` seconds.
@rpqueue.task(queue=b"trial", attempts=9, vis_timeout=4, save_results=60)
def plain(number, _attempts=None):
    return bodies.plain(number)


@rpqueue.task(queue=b"trial", attempts=5, retry_delay=1)
def flaky(number, _attempts=None):
    try:
        return bodies.flaky(number)
    except bodies.NotYet:
        flaky.retry(number, _attempts=_attempts)


@rpqueue.task(queue=b"trial")
def later(number):
    return bodies.later(number)


def enqueue(kind, number):
    task = {"plain": plain, "flaky": flaky, "later": later}[kind]
    task.execute(number, taskid=number, delay=DELAY_S if kind == "later" else 0)


def result(number):
    return rpqueue.result(number)
