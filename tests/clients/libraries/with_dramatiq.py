"""Dramatiq."""

import os

import bodies
import dramatiq
from dramatiq.brokers.redis import RedisBroker

DELAY_S = float(os.environ["TRIAL_DELAY_S"])

# What a worker held that nobody has heard of for this long goes back to the queue (a minute unless told).
broker = RedisBroker(url=os.environ["TRIAL_URL"], heartbeat_timeout=4000, maintenance_chance=100_000)
dramatiq.set_broker(broker)


@dramatiq.actor(max_retries=5, min_backoff=50, max_backoff=100)
def plain(number):
    return bodies.plain(number)


@dramatiq.actor(max_retries=5, min_backoff=50, max_backoff=100)
def flaky(number):
    bodies.flaky(number)


@dramatiq.actor(max_retries=5)
def later(number):
    bodies.later(number)


def enqueue(kind, number):
    actor = {"plain": plain, "flaky": flaky, "later": later}[kind]
    actor.send_with_options(args=(number,), delay=int(DELAY_S * 1000) if kind == "later" else None)
