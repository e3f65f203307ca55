"""SIGKILL at random moments, under every policy: nothing that was acknowledged is lost."""

import time

from daemon import Daemon, Writer, losses

WRITERS = 4


def play(run):
    for policy in ("always", "everysec", "no"):
        folder = run.folder(f"kills-{policy}")
        acknowledged = 0
        daemon = Daemon(run.pbjd, folder, "--appendfsync", policy)
        for cycle in range(run.cycles):
            writers = [Writer(daemon, f"{cycle}-{n}") for n in range(WRITERS)]
            time.sleep(run.rng.uniform(0.02, 0.3))
            if run.rng.random() < 0.5:
                daemon.call("BGREWRITEAOF")
                time.sleep(run.rng.uniform(0, 0.05))
            daemon.kill()
            for writer in writers:
                writer.join()
            acknowledged += sum(len(writer.acknowledged_at) for writer in writers)
            daemon = Daemon(run.pbjd, folder, "--appendfsync", policy)
            for loss in losses(daemon, writers):
                run.fault(f"kills, {policy}, cycle {cycle}: {loss}")
            daemon.call("FLUSHALL")
        daemon.stop()
        run.say(f"kills, {policy}: {run.cycles} cycles, {acknowledged} acknowledged")
