"""Two servers of the same kind: the reference and ours, each in a folder of its own on a free port.

Law: they listen on loopback only, are ended by their process number, and leave nothing behind.
"""

import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time

from wire import Client, Closed

sys.path.append(str(pathlib.Path(__file__).resolve().parents[1] / "shared"))

from ports import free_port  # noqa: E402

START_MAX_S = 20


class Peer:
    """A running server."""

    def __init__(self, name, command):
        self.name = name
        self.port = free_port()
        self.folder = tempfile.mkdtemp(prefix=f"differential-{name}-")
        self.log = open(os.path.join(self.folder, "output"), "wb")
        self.command = command
        self._launch()

    def _launch(self, *more):
        arguments = [*self.command, "--port", str(self.port), "--bind", "127.0.0.1", "--dir", self.folder, *more]
        self.process = subprocess.Popen(arguments, stdout=self.log, stderr=self.log, stdin=subprocess.DEVNULL)
        self._wait()

    def end(self, kill=False):
        """Ends the process; the folder stays."""
        (self.process.kill if kill else self.process.terminate)()
        self.process.wait(START_MAX_S)

    def start_again(self, *more):
        """Starts it as it was, with further arguments."""
        self._launch(*more)

    def _wait(self):
        deadline = time.monotonic() + START_MAX_S
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                break
            try:
                client = Client(self.port)
                answer = client.call("PING")
                client.close()
                if answer == ("+", b"PONG"):
                    return
            except (OSError, Closed):
                pass
            time.sleep(0.02)
        raise RuntimeError(f"{self.name} does not start:\n{self.output()}")

    def output(self):
        """What the server has printed."""
        self.log.flush()
        with open(self.log.name, "rb") as log:
            return log.read()[-4000:].decode(errors="replace")

    def keep_log(self):
        """Copies the log of commands to where it stays, and says where that is."""
        kept = tempfile.mkdtemp(prefix=f"differential-{self.name}-log-")
        shutil.copytree(os.path.join(self.folder, "appendonlydir"), kept, dirs_exist_ok=True)
        return f"    its log is kept in {kept}\n{self.output()}"

    def alive(self):
        return self.process.poll() is None

    def stop(self):
        if self.alive():
            self.process.terminate()
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self.log.close()
        shutil.rmtree(self.folder, ignore_errors=True)


def start(reference, ours):
    """Starts both; `reference` and `ours` are paths of the binaries."""
    common = ["--io-threads", "1", "--enable-debug-command", "yes", "--enable-protected-configs", "yes", "--save", "", "--appendfsync", "no"]
    first = Peer("reference", [reference, *common, "--appendonly", "no", "--loglevel", "warning"])
    try:
        second = Peer("ours", [ours, *common, "--appendonly", "yes", "--http-port", "0"])
    except BaseException:
        first.stop()
        raise
    return first, second
