"""SIGKILL at every system call that changes the disk, while the log is rewritten and while a snapshot is written.

The kill is a fault that strace injects at the first, second, third ... such call after the work was asked for. Whatever was
acknowledged is there afterwards: the old files are complete, or the new ones are.
"""

import os
import shutil
import subprocess
import time

from daemon import Closed, Daemon, Silent, Writer, losses

FAMILIES = ["openat,creat", "write,pwrite64,writev", "fsync,fdatasync,sync_file_range", "rename,renameat,renameat2",
            "unlink,unlinkat", "ftruncate,fallocate,mkdir,mkdirat"]
WORKS = {"rewrite": ("BGREWRITEAOF", "aof_rewrite_in_progress"), "snapshot": ("BGSAVE", "rdb_bgsave_in_progress")}
ATTACH_S = 0.3
DONE_MAX_S = 10


def play(run):
    if not shutil.which("strace"):
        run.say("system calls: left out, it needs strace")
        return
    for work, (command, progress) in WORKS.items():
        folder = run.folder(f"calls-{work}")
        kills = 0
        for family in FAMILIES:
            for nth in range(1, run.calls + 1):
                killed = once(run, folder, command, progress, family, nth)
                kills += killed
                if not killed:
                    break
        run.say(f"system calls, {work}: killed at {kills} of them")


def once(run, folder, command, progress, family, nth):
    """Kills at the nth call of a family; says whether it came to that."""
    daemon = Daemon(run.pbjd, folder)
    daemon.call("FLUSHALL")
    writer = Writer(daemon, f"{command}-{family.split(',')[0]}-{nth}")
    inject = ["-e", f"trace={family}", "-e", f"inject={family}:signal=KILL:when={nth}"]
    client = daemon.client()
    if family.startswith("write"):
        # The log is written all the time: what counts are the calls of the work.
        writer.halt()
    strace = subprocess.Popen(["strace", "-f", "-qq", "-o", os.devnull, "-p", str(daemon.process.pid), *inject])
    time.sleep(ATTACH_S)
    try:
        client.call(command)
        deadline = time.monotonic() + DONE_MAX_S
        while f"{progress}:1".encode() in client.call("INFO", "persistence")[1]:
            if time.monotonic() > deadline:
                run.fault(f"system calls: {command} takes for ever")
                break
            time.sleep(0.01)
    except (OSError, Closed, Silent):
        pass
    client.close()
    # Not asked to end: it would wait for threads of a process that is being killed.
    strace.kill()
    strace.wait()
    writer.halted.set()
    time.sleep(0.05)
    killed = daemon.process.poll() is not None
    daemon.kill()
    writer.join()
    daemon = Daemon(run.pbjd, folder)
    for loss in losses(daemon, [writer]):
        run.fault(f"system calls, {command}, {family} number {nth}: {loss}")
    daemon.stop()
    return killed
