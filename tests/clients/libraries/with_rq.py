"""RQ with its scheduler."""

import datetime
import os

import bodies
import redis
import rq

DELAY_S = float(os.environ["TRIAL_DELAY_S"])

queue = rq.Queue("trial", connection=redis.Redis.from_url(os.environ["TRIAL_URL"]))


def enqueue(kind, number):
    body = getattr(bodies, kind)
    if kind == "later":
        queue.enqueue_in(datetime.timedelta(seconds=DELAY_S), body, number, job_id=number)
    else:
        queue.enqueue(body, number, job_id=number, retry=rq.Retry(max=5, interval=0))


def result(number):
    return rq.job.Job.fetch(number, connection=queue.connection).return_value()
