#!/usr/bin/env python3
"""Jobs: what a job costs the daemon, how late delayed jobs are, what waiting costs in memory and CPU.

  jobs.py --daemon PATH/pbjd [--only cost,lateness,memory]

  cost      JOB.MPUSH, JOB.FETCH and pipelined JOB.ACK in batches, log synced every second: jobs per CPU second of the
            daemon (user and system, from /proc), whatever the client costs. Beside it, on redis-server, the same life of
            a job the way it is written there: LPUSH of many, LMOVE and LREM of each, pipelined.
  lateness  jobs that become ready one by one while many more wait: from the time they were due to their arrival at a
            worker that blocks in JOB.FETCH, on the clock of this machine. And the daemon's CPU while all of them only wait.
            Beside it, how late a thread of this client wakes up that only sleeps until the same times: what the machine
            and its other work add to anything.
  memory    bytes of the daemon's allocator and of resident memory for each ready job.
"""
import argparse, random, threading
from benchlib import *

PAYLOAD = b"x" * 100


def start(daemon, fsync="everysec"):
    return Server("pbj", daemon + " --port {port} --dir {dir} --http-port 0 --io-threads 1 --appendfsync " + fsync, [])


def check(reply):
    if isinstance(reply, RuntimeError):
        raise reply
    return reply


def life(r, jobs, batch):
    """Pushes, fetches and acknowledges so many jobs."""
    push = Resp.enc("JOB.MPUSH", "bench", "noop", "COUNT", batch, "PAYLOADS", *[PAYLOAD] * batch)
    fetch = Resp.enc("JOB.FETCH", "w", "COUNT", batch, "QUEUES", "bench")
    for _ in range(jobs // batch):
        r.s.sendall(push)
        assert len(check(r.read())) == batch
        r.s.sendall(fetch)
        got = [dict(zip(job[::2], job[1::2])) for job in check(r.read())]
        assert len(got) == batch
        r.s.sendall(b"".join(Resp.enc("JOB.ACK", job[b"id"], job[b"token"]) for job in got))
        for _ in got:
            check(r.read())


def redis_life(r, jobs, batch):
    """The same with lists: a job is moved to a list of its worker, and removed from there."""
    push = Resp.enc("LPUSH", "bench", *[PAYLOAD] * batch)
    for _ in range(jobs // batch):
        r.s.sendall(push)
        check(r.read())
        r.s.sendall(Resp.enc("LMOVE", "bench", "work", "RIGHT", "LEFT") * batch)
        got = [check(r.read()) for _ in range(batch)]
        r.s.sendall(b"".join(Resp.enc("LREM", "work", -1, job) for job in got))
        for _ in got:
            check(r.read())


def cost(a):
    peers = [("pbj", start(a.daemon), life)]
    argv, extra = RESP_PEERS["redis-7.0.15"]
    if argv:
        conf = ["--appendonly", "yes", "--appendfsync", "everysec", "--auto-aof-rewrite-percentage", "0"]
        peers.append(("redis lists", Server("redis", argv, extra, conf=conf), redis_life))
    rows = []
    try:
        for batch in (1, 100):
            jobs = a.jobs if batch > 1 else a.jobs // 10
            res = {}
            for _ in range(a.rounds):
                for name, s, run in peers:
                    r = s.resp()
                    c0, t0 = s.cpu_s(), time.time()
                    run(r, jobs, batch)
                    c1, t1 = s.cpu_s(), time.time()
                    res.setdefault(name, []).append((jobs / (c1 - c0), (c1 - c0) / jobs * 1e6, jobs / (t1 - t0)))
                    r.close()
            for name, xs in res.items():
                rows.append([batch, name, spread([x[0] / 1e3 for x in xs]), "%.2f" % med([x[1] for x in xs]),
                             spread([x[2] / 1e3 for x in xs])])
    finally:
        for _, s, _ in peers:
            s.stop()
    table(["batch", "what", "1000 jobs a CPU second", "cpu_us a job", "1000 jobs/s (bound by this client)"], rows)


def lateness(a):
    s = start(a.daemon)
    try:
        r = s.resp()
        # Far away, spread over a day: they only wait.
        far = [Resp.enc("JOB.PUSH", "far", "noop", PAYLOAD, "DELAY", 3600_000 + random.randrange(86400_000))
               for _ in range(1000)]
        for _ in range(a.timers // 1000):
            r.pipe(iter(far), chunk=1000)
        time.sleep(2)
        c0, t0 = s.cpu_s(), time.time()
        time.sleep(10)
        idle = (s.cpu_s() - c0) / (time.time() - t0)
        due = {}
        late = []

        def work():
            w = s.resp()
            while len(late) < a.samples:
                jobs = check(w.cmd("JOB.FETCH", "w", "BLOCK", 5000, "QUEUES", "near"))
                now = time.time()
                for job in jobs or []:
                    job = dict(zip(job[::2], job[1::2]))
                    late.append((now - due[job[b"id"]]) * 1e3)
                    check(w.cmd("JOB.ACK", job[b"id"], job[b"token"]))

        slept = []

        def sleep():
            for at in sorted(due.values()):
                time.sleep(max(0, at - time.time()))
                slept.append((time.time() - at) * 1e3)

        worker, sleeper = threading.Thread(target=work), threading.Thread(target=sleep)
        # An instant in whole milliseconds, so that what is measured is not the rounding.
        for _ in range(a.samples):
            at = int((time.time() + random.uniform(0.5, 10)) * 1000)
            due[check(r.cmd("JOB.PUSH", "near", "noop", PAYLOAD, "AT", at))] = at / 1000
        worker.start()
        sleeper.start()
        worker.join()
        sleeper.join()
        q = lambda values, p: "%.2f" % sorted(values)[min(len(values) - 1, int(p * len(values)))]
        row = lambda name, values: [name, q(values, 0.5), q(values, 0.99), q(values, 1), len(values)]
        print("CPU of a core while %d timers wait: %.2f %%\n" % (a.timers, 100 * idle))
        table(["late, ms", "p50", "p99", "max", "of"], [row("delayed jobs", late), row("a bare sleep", slept)])
    finally:
        s.stop()


def memory(a):
    rows = []
    for what, extra in (("ready", []), ("delayed", ["DELAY", "1d"])):
        s = start(a.daemon)
        try:
            r = s.resp()
            push = Resp.enc("JOB.PUSH", "bench", "noop", PAYLOAD, *extra)
            r.pipe((push for _ in range(1000)))
            used0, rss0 = int(r.info()["used_memory"]), mem_kib(s.pid)
            r.pipe((push for _ in range(a.stored)))
            time.sleep(1)
            used1, rss1 = int(r.info()["used_memory"]), mem_kib(s.pid)
            rows.append([what, "%.0f" % ((used1 - used0) / a.stored), "%.0f" % ((rss1 - rss0) * 1024 / a.stored)])
        finally:
            s.stop()
    table(["job with a payload of 100 bytes", "bytes allocated", "bytes resident"], rows)


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("--daemon", required=True)
    ap.add_argument("--only", default="cost,lateness,memory")
    ap.add_argument("--rounds", type=int, default=5)
    ap.add_argument("--jobs", type=int, default=100_000)
    ap.add_argument("--timers", type=int, default=100_000)
    ap.add_argument("--samples", type=int, default=2_000)
    ap.add_argument("--stored", type=int, default=200_000)
    a = ap.parse_args()
    for name in a.only.split(","):
        {"cost": cost, "lateness": lateness, "memory": memory}[name](a)


if __name__ == "__main__":
    main()
