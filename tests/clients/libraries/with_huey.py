"""Huey."""

import os

import bodies
import huey

DELAY_S = float(os.environ["TRIAL_DELAY_S"])

queue = huey.RedisHuey("trial", url=os.environ["TRIAL_URL"])


@queue.task()
def plain(number):
    return bodies.plain(number)


@queue.task(retries=5, retry_delay=0)
def flaky(number):
    return bodies.flaky(number)


@queue.task()
def later(number):
    return bodies.later(number)


def enqueue(kind, number):
    if kind == "later":
        later.schedule((number,), delay=DELAY_S, id=number)
    else:
        {"plain": plain, "flaky": flaky}[kind].schedule((number,), delay=0, id=number)


def result(number):
    return queue.result(number, blocking=True, timeout=10)
