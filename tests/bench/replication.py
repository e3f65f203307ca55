#!/usr/bin/env python3
"""A master with one and two replicas of its own kind: full sync, throughput under write load, and how far replicas lag.

Peers take turns: a round goes through all of them, for each number of replicas. Of each round
- full sync: REPLICAOF at empty replicas until all of them have the data of the master, at the same offset;
- SET from 50 connections, 16 requests at once: requests a second, and CPU of the master and of a replica (the mean of them)
  for a million writes, until the replicas have them;
- lag: from the reply of the master to a SET until a GET at the replica sees it, asked for again and again (a round trip is
  the resolution); first with nothing else going on, then during the load.

On two cores the master has one, and replicas and the load tool share the other: CPU is comparable, requests a second less so.
"""
import argparse
from benchlib import *
from memory import mset

REPLICA_CPU = os.environ.get("BENCH_REPLICA_CPU", CLIENT_CPU)
LOAD = ["SET", "k__rand_int__000", "x" * 64]

# A process of its own, so that the work of this one does not count.
LAG = r"""
import socket,sys,time
def client(port):
    s=socket.create_connection(("127.0.0.1",int(port)));s.setsockopt(6,1,1);return s
def ask(s,*words):
    s.sendall(b"*%d\r\n"%len(words)+b"".join(b"$%d\r\n%s\r\n"%(len(w),w) for w in words));return s.recv(256)
master,replica=client(sys.argv[1]),client(sys.argv[2]);lags=[];end=time.time()+float(sys.argv[3]);i=10**9
while time.time()<end:
    i+=1;word=b"%d"%i
    assert ask(master,b"SET",b"lag-probe",word)==b"+OK\r\n"
    t=time.perf_counter();wanted=b"$%d\r\n%s\r\n"%(len(word),word)
    while ask(replica,b"GET",b"lag-probe")!=wanted:
        if time.perf_counter()-t>60: sys.exit("the replica does not get it")
    lags.append(time.perf_counter()-t)
    time.sleep(0.002)
lags.sort();print(len(lags),lags[len(lags)//2]*1e3,lags[int(len(lags)*.99)]*1e3,lags[-1]*1e3)
"""


class LagProbe:
    """p50, p99 and longest lag in milliseconds"""

    def __init__(self, master, replica, seconds):
        argv = ["taskset", "-c", CLIENT_CPU, sys.executable, "-c", LAG, str(master.port), str(replica.port), str(seconds)]
        self.process = subprocess.Popen(argv, stdout=subprocess.PIPE, text=True)

    def result(self):
        out, _ = self.process.communicate()
        if self.process.returncode:
            raise SystemExit("the lag could not be measured")
        return [float(x) for x in out.split()][1:]


def wait_until_equal(master, replicas, limit=300):
    """until all replicas are at the offset of the master"""
    end = time.time() + limit
    with_master, each = master.resp(), [s.resp() for s in replicas]
    try:
        while time.time() < end:
            followed = [r.info() for r in each]
            offset = with_master.info().get("master_repl_offset")
            if all(i.get("master_link_status") == "up" and i.get("slave_repl_offset") == offset for i in followed):
                return
            time.sleep(0.005)
    finally:
        for r in [with_master, *each]:
            r.close()
    raise SystemExit("the replicas of %s are not where it is after %d s" % (master.name, limit))


def one_round(name, argv, extra, count, a):
    master = Server(name, argv, extra)
    servers = [master]
    try:
        servers += [Server(name, argv, extra, cpu=REPLICA_CPU) for _ in range(count)]
        replicas = servers[1:]
        r = master.resp()
        r.cmd("CONFIG", "SET", "repl-diskless-sync-delay", "0")
        r.pipe(mset(a.keys, 64), chunk=100)
        before, t = [s.cpu_s() for s in servers], time.time()
        for s in replicas:
            c = s.resp()
            answer = c.cmd("REPLICAOF", "127.0.0.1", master.port)
            assert answer == "OK", answer
            c.close()
        wait_until_equal(master, replicas)
        x = dict(peer=name, replicas=count, sync_s=time.time() - t)
        for s in replicas:
            c = s.resp()
            assert c.cmd("DBSIZE") == a.keys
            c.close()
        spent = [s.cpu_s() - b for s, b in zip(servers, before)]
        x.update(sync_master_cpu=spent[0], sync_replica_cpu=statistics.mean(spent[1:]))
        x["lag_idle"] = LagProbe(master, replicas[0], a.seconds).result()
        # A short run tells how many requests fill the time.
        n = max(10_000, int(run_bench(master, LOAD, 50_000, 50, 16, a.keys, tries=1)["rps"] * a.seconds))
        wait_until_equal(master, replicas)
        before = [s.cpu_s() for s in servers]
        b = run_bench(master, LOAD, n, 50, 16, a.keys, tries=1)
        wait_until_equal(master, replicas)
        spent = [(s.cpu_s() - c) / n * 1e6 for s, c in zip(servers, before)]
        x.update(kops=b["rps"] / 1e3, master_cpu=spent[0], replica_cpu=statistics.mean(spent[1:]), foreign=b["foreign"])
        probe = LagProbe(master, replicas[0], a.seconds * 0.8)
        time.sleep(0.1)
        run_bench(master, LOAD, n, 50, 16, a.keys, tries=1)
        x["lag_load"] = probe.result()
        r.close()
        return x
    finally:
        for s in servers:
            s.stop(sig=signal.SIGKILL)


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_ours(ap)
    ap.add_argument("--keys", type=int, default=1_000_000)
    ap.add_argument("--replicas", default="1,2", help="how many replicas: a comma list")
    ap.add_argument("--seconds", type=float, default=5, help="of each load and of each lag")
    a = ap.parse_args()
    names = (a.peers or "redis-7.0.15,valkey-8.0.1").split(",")
    peers = [(name, *RESP_PEERS[name]) for name in names if RESP_PEERS[name][0]] + ([("ours", a.ours_cmd, [])] if a.ours_cmd else [])
    results = {}
    for _ in range(a.rounds):
        for count in map(int, a.replicas.split(",")):
            for name, argv, extra in peers:
                x = one_round(name, argv, extra, count, a)
                emit(a, x)
                results.setdefault((count, name), []).append(x)
    rows = []
    for (count, name), xs in sorted(results.items(), key=lambda item: item[0][0]):
        of = lambda key: med([x[key] for x in xs])
        lag = lambda key: "%.2f/%.2f/%.1f" % tuple(med([x[key][i] for x in xs]) for i in range(3))
        rows.append([count, name, "%.2f" % of("sync_s"), "%.2f/%.2f" % (of("sync_master_cpu"), of("sync_replica_cpu")), "%.0f" % of("kops"),
                     "%.2f/%.2f" % (of("master_cpu"), of("replica_cpu")), lag("lag_idle"), lag("lag_load"), "%.2f" % max(x["foreign"] for x in xs)])
    table(["replicas", "peer", "full sync s", "its CPU s, master/replica", "SET kops", "CPU s per million writes, master/replica", "lag idle ms p50/p99/max",
           "lag under load ms p50/p99/max", "foreign"], rows)


if __name__ == "__main__":
    main()
