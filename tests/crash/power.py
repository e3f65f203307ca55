"""A power cut: the file system of a loop device is shut down under the daemon, so that only what was synced is there.

Needs root, loop devices and mkfs of the file system. The cut is the ioctl EXT4_IOC_SHUTDOWN (xfs: XFS_IOC_GOINGDOWN, the
same number) without a flush of its log.
"""

import contextlib
import fcntl
import os
import shutil
import struct
import subprocess
import time

from daemon import Daemon, Writer, losses

SHUTDOWN = 0x8004587D
NO_LOG_FLUSH = 2
IMAGE_BYTES = 320 << 20
# What `everysec` may lose, in seconds before the cut: see docs/operations.md.
EVERYSEC_WINDOW_S = 2.0
WRITERS = 4


class Volume:
    """A file system of its own in a file."""

    def __init__(self, folder, kind):
        self.image, self.mount_point = folder / f"{kind}.image", folder / kind
        self.mount_point.mkdir()
        with open(self.image, "wb") as image:
            image.truncate(IMAGE_BYTES)
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        subprocess.run([f"mkfs.{kind}", "-q", *(["-F"] if kind == "ext4" else []), str(self.image)], check=True, **quiet)
        self.device = subprocess.check_output(["losetup", "-f", "--show", str(self.image)], text=True).strip()
        self.mount()

    def mount(self):
        subprocess.run(["mount", self.device, str(self.mount_point)], check=True)

    def unmount(self):
        # Whoever was killed is gone a moment later.
        for _ in range(100):
            if subprocess.run(["umount", str(self.mount_point)], stderr=subprocess.DEVNULL).returncode == 0:
                return
            time.sleep(0.05)
        raise RuntimeError(f"cannot unmount {self.mount_point}")

    def cut(self):
        place = os.open(self.mount_point, os.O_RDONLY)
        try:
            fcntl.ioctl(place, SHUTDOWN, struct.pack("I", NO_LOG_FLUSH))
        finally:
            os.close(place)

    def close(self):
        self.unmount()
        subprocess.run(["losetup", "-d", self.device], check=True)


def possible(kind):
    """Why it cannot be played here, if it cannot."""
    if os.geteuid() != 0:
        return "needs root"
    if not os.path.exists("/dev/loop-control"):
        return "needs loop devices"
    if not shutil.which(f"mkfs.{kind}"):
        return f"needs mkfs.{kind}"
    return None


def volumes(run, name):
    """A volume of each kind that can be played here, and the kind; what is left out is said."""
    for kind in ("ext4", "xfs"):
        reason = possible(kind)
        if reason:
            run.say(f"{name}, {kind}: left out, it {reason}")
            continue
        volume = Volume(run.folder(f"{name}-{kind}"), kind)
        try:
            yield volume, kind
        finally:
            volume.close()


def play(run):
    # Closed at once, also when a campaign fails.
    with contextlib.closing(volumes(run, "power")) as found:
        for volume, kind in found:
            for policy in ("always", "everysec"):
                campaign(run, volume, kind, policy)


def campaign(run, volume, kind, policy):
    folder = volume.mount_point / policy
    folder.mkdir()
    acknowledged = late = 0
    for cycle in range(run.cycles):
        daemon = Daemon(run.pbjd, folder, "--appendfsync", policy)
        writers = [Writer(daemon, f"{cycle}-{n}") for n in range(WRITERS)]
        time.sleep(run.rng.uniform(0.1, 1.0 if policy == "always" else 3.0))
        if run.rng.random() < 0.5:
            daemon.call("BGREWRITEAOF")
            time.sleep(run.rng.uniform(0, 0.05))
        cut_at = time.monotonic()
        volume.cut()
        daemon.kill()
        for writer in writers:
            writer.join()
        volume.unmount()
        volume.mount()
        acknowledged += sum(len(writer.acknowledged_at) for writer in writers)
        daemon = Daemon(run.pbjd, folder, "--appendfsync", policy)
        # Who is told after the cut began is told by a kernel whose file system is being shut down: a sync that was under way
        # then may succeed although nothing of it is kept (bare.py shows it). No power cut has anybody left to tell.
        since = cut_at - (0 if policy == "always" else EVERYSEC_WINDOW_S)
        late += sum(at >= cut_at for writer in writers for at in writer.acknowledged_at)
        for loss in losses(daemon, writers, since):
            run.fault(f"power, {kind}, {policy}, cycle {cycle}: {loss}")
        daemon.call("FLUSHALL")
        daemon.stop()
    run.say(f"power, {kind}, {policy}: {run.cycles} cycles, {acknowledged} acknowledged, {late} of them during a cut")
