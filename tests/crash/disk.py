"""A disk that is full, that cannot sync, or that cannot be written: what is acknowledged is there, and the daemon says why."""

import os
import shutil
import subprocess
import time

from daemon import Closed, Daemon, Refused, Writer, losses

TMPFS_BYTES = 24 << 20
REFUSED_MAX_S = 20
HEALED_MAX_S = 20
# Long enough that the first attempt to write the log anew fails, too.
SECOND_FAILURE_S = 1.5
VALUE = "x" * 100_000
FAILED_TO_WRITE = 74
NOT_ALLOWED = {66, 73, 74, 77}


def play(run):
    full(run)
    for policy in ("always", "everysec"):
        sync_fails(run, policy)
    read_only(run)


def full(run):
    """The disk fills up: writes are refused with a reason and reads go on. When there is room again writes are accepted, without a
    restart, and nothing of what was acknowledged is lost."""
    if os.geteuid() != 0:
        run.say("full disk: left out, it needs root")
        return
    folder = run.folder("full")
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={TMPFS_BYTES}", "none", str(folder)], check=True)
    daemon = Daemon(run.pbjd, folder, "--appendfsync", "everysec")
    try:
        kept, refusal = fill(daemon)
        if refusal is None or not refusal.startswith("MISCONF"):
            run.fault(f"full disk: a write was answered with {refusal}")
        if status_of(daemon) != "err":
            run.fault("full disk: INFO does not say so")
        if daemon.call("STRLEN", "key:0") != (":", len(VALUE)):
            run.fault("full disk: reads do not go on")
        subprocess.run(["mount", "-o", f"remount,size={8 * TMPFS_BYTES}", str(folder)], check=True)
        if not accepts_writes(daemon, "after"):
            run.fault(f"full disk: there is room, and writes are refused after {HEALED_MAX_S} s")
        daemon.kill()
        daemon = Daemon(run.pbjd, folder, "--appendfsync", "everysec")
        missing = [n for n in range(kept) if daemon.call("STRLEN", f"key:{n}") != (":", len(VALUE))]
        if missing or daemon.call("GET", "after") != ("$", b"1"):
            run.fault(f"full disk: {len(missing)} of {kept} acknowledged keys are not there: {missing[:5]}")
        run.say(f"full disk: {kept} acknowledged; then: {refusal}")
    finally:
        daemon.kill()
        subprocess.run(["umount", str(folder)], check=True)


def status_of(daemon):
    """What INFO says of the last write of the log."""
    text = daemon.call("INFO", "persistence")[1].decode()
    return next(line.split(":")[1] for line in text.splitlines() if line.startswith("aof_last_write_status"))


def accepts_writes(daemon, key):
    """Waits until a write is accepted; says whether one was."""
    deadline = time.monotonic() + HEALED_MAX_S
    while time.monotonic() < deadline:
        try:
            if daemon.call("SET", key, 1) == ("+", b"OK"):
                return status_of(daemon) == "ok"
        except Closed:
            pass
        time.sleep(0.05)
    return False


def fill(daemon):
    """Writes until that is refused: how many writes were acknowledged, and how the first one after them was answered."""
    kept, client = 0, daemon.client()
    deadline = time.monotonic() + REFUSED_MAX_S
    while time.monotonic() < deadline:
        try:
            kind, content = client.call("SET", f"key:{kept}", VALUE)
        except Closed:
            # The write that did not fit: nobody can say what became of it.
            client = daemon.client()
            continue
        if kind == "-":
            return kept, content.decode()
        kept += 1
    return kept, None


def sync_fails(run, policy):
    """A sync fails while clients write: under `always` the daemon ends, otherwise it refuses writes and goes on reading, and when the
    disk works again it writes the log anew in other files, without a restart."""
    if not shutil.which("strace"):
        run.say(f"failing sync, {policy}: left out, it needs strace")
        return
    folder = run.folder(f"sync-{policy}")
    daemon = Daemon(run.pbjd, folder, "--appendfsync", policy)
    writers = [Writer(daemon, f"s-{n}") for n in range(4)]
    time.sleep(0.3)
    inject = ["-e", "trace=fsync,fdatasync", "-e", "inject=fsync,fdatasync:error=EIO"]
    strace = subprocess.Popen(["strace", "-f", "-qq", "-o", os.devnull, "-p", str(daemon.process.pid), *inject])
    try:
        for writer in writers:
            writer.join(REFUSED_MAX_S)
            if writer.is_alive():
                run.fault(f"failing sync, {policy}: writes go on")
                writer.halt()
        if policy == "always":
            status = daemon.process.wait(REFUSED_MAX_S)
            if status != FAILED_TO_WRITE:
                run.fault(f"failing sync, always: ended with {status}, not {FAILED_TO_WRITE}")
        else:
            # Who waited for the sync is cut off: nobody can say what became of the write.
            reasons = {writer.refused for writer in writers} - {None}
            if not all(reason.startswith("MISCONF") for reason in reasons):
                run.fault(f"failing sync, {policy}: writes were answered with {reasons}")
            if daemon.call("LINDEX", "list:s-0", 0) != ("$", b"0"):
                run.fault(f"failing sync, {policy}: reads do not go on")
            time.sleep(SECOND_FAILURE_S)
            if status_of(daemon) != "err" or daemon.call("SET", "during", 1)[0] != "-":
                run.fault(f"failing sync, {policy}: a disk that cannot sync is written")
    finally:
        # It would wait for threads of the process that it traces.
        strace.kill()
        strace.wait()
    if policy != "always":
        before = files_of(folder)
        if not accepts_writes(daemon, "after"):
            run.fault(f"failing sync, {policy}: the disk works, and writes are refused after {HEALED_MAX_S} s")
        elif left := before & files_of(folder):
            run.fault(f"failing sync, {policy}: {left} is used although its sync has failed")
        daemon.kill()
    daemon = Daemon(run.pbjd, folder)
    # The disk of this test forgets nothing: what was acknowledged was written.
    for loss in losses(daemon, writers):
        run.fault(f"failing sync, {policy}: {loss}")
    if policy != "always" and daemon.call("GET", "after") != ("$", b"1"):
        run.fault(f"failing sync, {policy}: what was written after the disk worked again is not there")
    daemon.stop()
    run.say(f"failing sync, {policy}: {sum(len(writer.acknowledged_at) for writer in writers)} acknowledged")


def files_of(folder):
    """The files of the log, by number: a name may come again."""
    return {(file.name, file.stat().st_ino) for file in (folder / "appendonlydir").iterdir() if file.suffix != ".manifest"}


def read_only(run):
    """A data folder that cannot be written is refused at the start, with its path."""
    if os.geteuid() != 0:
        run.say("read-only folder: left out, it needs root")
        return
    folder = run.folder("read-only")
    subprocess.run(["mount", "-t", "tmpfs", "-o", "ro,size=1m", "none", str(folder)], check=True)
    try:
        Daemon(run.pbjd, folder).kill()
        run.fault("read-only folder: the daemon started")
    except Refused as refused:
        if refused.status not in NOT_ALLOWED or str(folder) not in refused.text:
            run.fault(f"read-only folder: {refused}")
        else:
            run.say(f"read-only folder: exit {refused.status}")
    finally:
        subprocess.run(["umount", str(folder)], check=True)
