"""What the kernel itself keeps of syncs while a file system is being shut down: the ground that `power` stands on, without a daemon.

A power cut leaves nobody who could be told that a sync has succeeded. The ioctl that stands for one here takes milliseconds, and
an fdatasync under way meanwhile may return 0 although its data is gone, on ext4 in every third cut, on xfs in every tenth: the
journal is given up, and the waiter finds nothing to wait for. So `power` counts what was acknowledged before the cut began, and
this campaign shows that a sync which had ended by then is never lost.
"""

import contextlib
import os
import threading
import time

from power import volumes

WRITERS = 4
RECORD = 64


def play(run):
    with contextlib.closing(volumes(run, "bare")) as found:
        for volume, kind in found:
            campaign(run, volume, kind)


def campaign(run, volume, kind):
    synced = during = lost_during = 0
    for cycle in range(run.cycles):
        files = [volume.mount_point / f"{cycle}-{n}" for n in range(WRITERS)]
        ends = [[] for _ in files]
        threads = [threading.Thread(target=write, args=pair, daemon=True) for pair in zip(files, ends)]
        for thread in threads:
            thread.start()
        time.sleep(run.rng.uniform(0.03, 0.15))
        cut_at = time.monotonic()
        volume.cut()
        for thread in threads:
            thread.join()
        volume.unmount()
        volume.mount()
        for file, ended_at in zip(files, ends):
            kept = file.stat().st_size // RECORD if file.exists() else 0
            lost = [at for at in ended_at[kept:] if at < cut_at]
            if lost:
                run.fault(f"bare, {kind}, cycle {cycle}: {len(lost)} records are lost whose sync had ended before the cut began")
            synced += len(ended_at)
            during += sum(at >= cut_at for at in ended_at)
            lost_during += sum(at >= cut_at for at in ended_at[kept:])
            file.unlink(missing_ok=True)
    run.say(f"bare, {kind}: {run.cycles} cuts, {synced} syncs, {during} ended during a cut, {lost_during} of them with nothing kept")


def write(file, ended_at):
    """Appends records and syncs each, until the file system is gone; notes when each sync ended."""
    place = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    try:
        while True:
            os.write(place, b"%063d\n" % len(ended_at))
            os.fdatasync(place)
            ended_at.append(time.monotonic())
    except OSError:
        pass
    finally:
        os.close(place)
