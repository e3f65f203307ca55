"""Celery: Redis as broker and as result backend."""

import os

import bodies
import celery
from celery.result import AsyncResult

URL = os.environ["TRIAL_URL"]
DELAY_S = float(os.environ["TRIAL_DELAY_S"])

app = celery.Celery("trial", broker=URL, backend=URL)
app.conf.update(
    worker_prefetch_multiplier=1,
    task_acks_late=True,
    broker_connection_retry_on_startup=True,
    # A job that was handed to a connection that broke comes back after this long (an hour unless told).
    broker_transport_options={"visibility_timeout": 4, "unacked_restore_limit": 0},
    visibility_timeout=4,
)


@app.task
def plain(number):
    return bodies.plain(number)


@app.task(bind=True, max_retries=5)
def flaky(self, number):
    try:
        return bodies.flaky(number)
    except bodies.NotYet as error:
        raise self.retry(exc=error, countdown=0.1)


@app.task
def later(number):
    return bodies.later(number)


def enqueue(kind, number):
    task = {"plain": plain, "flaky": flaky, "later": later}[kind]
    task.apply_async((number,), task_id=number, countdown=DELAY_S if kind == "later" else None, retry=False)


def result(number):
    return AsyncResult(number, app=app).get(timeout=10)
