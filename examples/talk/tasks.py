"""A task queue: with Redis's commands, and with the verbs of pbjd.

The classic one is a list of tasks, a list of what each worker holds, and a sorted set of what is for later. A worker that dies
keeps what it held until somebody looks, retries and their waiting are up to the program. With pbjd all this is the server's:
a job that is not acknowledged in time is given to another worker, with a token that makes the first one's answer worthless.
"""

import json
import secrets
import time

DUE = """
local due = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', ARGV[1], 'LIMIT', 0, 100)
for _, task in ipairs(due) do
  redis.call('ZREM', KEYS[1], task)
  redis.call('RPUSH', KEYS[2], task)
end
return #due
"""


class ClassicQueue:
    def __init__(self, r, name):
        self.r, self.ready, self.later = r, f"queue:{name}", f"later:{name}"
        self.move_due = r.register_script(DUE)

    def push(self, kind, payload, delay_s=0):
        task = json.dumps({"id": secrets.token_hex(8), "kind": kind, "payload": payload})
        if delay_s:
            self.r.zadd(self.later, {task: time.time() + delay_s})
        else:
            self.r.rpush(self.ready, task)

    def work_once(self, worker, functions, wait_s=1):
        """Runs one task; False when there was none. What is held is in a list of the worker, for `rescue`."""
        self.move_due(keys=[self.later, self.ready], args=[time.time()])
        task = self.r.blmove(self.ready, f"held:{worker}", wait_s, "LEFT", "RIGHT")
        if task is None:
            return False
        what = json.loads(task)
        functions[what["kind"]](what["payload"])
        self.r.lrem(f"held:{worker}", 1, task)
        return True

    def rescue(self, dead_worker):
        """Gives what a dead worker held to the others; who knows that it is dead is another question."""
        while self.r.lmove(f"held:{dead_worker}", self.ready, "RIGHT", "LEFT"):
            pass


class PbjQueue:
    def __init__(self, r, name):
        self.r, self.name = r, name

    def push(self, kind, payload, delay_s=0, **options):
        words = [word for pair in options.items() for word in (pair[0].upper(), pair[1])]
        return self.r.execute_command("JOB.PUSH", self.name, kind, payload, "DELAY", f"{int(delay_s * 1000)}ms", *words)

    def work_once(self, worker, functions, wait_s=1):
        """Runs one job; False when there was none. A failure is a retry, or a dead job when the attempts are used up."""
        jobs = self.r.execute_command("JOB.FETCH", worker, "BLOCK", int(wait_s * 1000), "QUEUES", self.name)
        for job in jobs or []:
            try:
                functions[job["type"]](job["payload"])
                self.r.execute_command("JOB.ACK", job["id"], job["token"])
            except Exception as error:
                self.r.execute_command("JOB.FAIL", job["id"], job["token"], "MSG", str(error))
        return bool(jobs)


def demo(r):
    done = []

    def fail_once(payload):
        done.append(f"tried {payload}")
        if done.count(f"tried {payload}") == 1:
            raise ValueError(payload)

    functions = {"mail": done.append, "fail once": fail_once}
    for queue in (ClassicQueue(r, "classic"), PbjQueue(r, "pbj")):
        done.clear()
        queue.push("mail", "later", delay_s=2)
        queue.push("mail", "now")
        while len(done) < 2:
            queue.work_once("w1", functions, wait_s=0.1)
        assert done == ["now", "later"]
    done.clear()

    classic = ClassicQueue(r, "classic")
    classic.push("fail once", "x")
    try:
        classic.work_once("w1", functions)
        raise AssertionError("the worker survives nothing")
    except ValueError:
        classic.rescue("w1")
    assert classic.work_once("w2", functions) and done == ["tried x", "tried x"]
    done.clear()

    queue = PbjQueue(r, "pbj")
    number = queue.push("fail once", "y", attempts=3, backoff="fixed:10ms")
    while done != ["tried y", "tried y"]:
        queue.work_once("w1", functions)
    assert r.execute_command("JOB.GET", number)["state"] == "done"
    # A worker that takes a job and is never heard of again: the lease runs out, another has it, and the first is too late.
    number = queue.push("mail", "z", lease="100ms")
    lost = r.execute_command("JOB.FETCH", "dead", "QUEUES", "pbj")[0]
    while "z" not in done:
        queue.work_once("w2", functions)
    try:
        r.execute_command("JOB.ACK", number, lost["token"])
        raise AssertionError("an old token counts for nothing")
    except Exception as error:
        assert "STALE" in str(error), error
