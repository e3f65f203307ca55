"""Runs every example of this folder: python all.py redis://127.0.0.1:6379/0   (empties that database)"""

import sys

import analytics
import autocomplete
import caching
import configuration
import cookies
import locks
import redis
import semaphores
import tasks
import voting

r = redis.Redis.from_url(sys.argv[1], protocol=3, decode_responses=True)
for example in (voting, caching, cookies, analytics, configuration, autocomplete, locks, semaphores, tasks):
    r.flushdb()
    example.demo(r)
    print(f"ok: {example.__name__}")
