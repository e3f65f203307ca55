"""One pbjd in a data folder that outlives it, and clients that remember what was acknowledged to them.

Law: loopback only, on a free port; ended by its process number. What counts as acknowledged is what a client has read.
"""

import pathlib
import subprocess
import sys
import threading
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent / "differential"), str(HERE.parent / "shared")]

from ports import free_port  # noqa: E402
from wire import Client, Closed, Silent  # noqa: E402

START_MAX_S = 60


class Refused(Exception):
    """The daemon did not start; the text is what it said, the status what it ended with."""

    def __init__(self, status, text):
        super().__init__(f"exit {status}: {text}")
        self.status = status
        self.text = text


class Daemon:
    """A running pbjd."""

    def __init__(self, pbjd, folder, *directives, before=()):
        self.port = free_port()
        self.log = pathlib.Path(f"{folder}.log")
        words = ["--port", str(self.port), "--bind", "127.0.0.1", "--http-port", "0", "--dir", str(folder)]
        words += ["--enable-debug-command", "yes", *directives]
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen([*before, pbjd, *words], stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        self._wait()

    def _wait(self):
        deadline = time.monotonic() + START_MAX_S
        while time.monotonic() < deadline:
            status = self.process.poll()
            if status is not None:
                raise Refused(status, self.said())
            try:
                client = self.client()
                answer = client.call("PING")
                client.close()
                if answer == ("+", b"PONG"):
                    return
            except (OSError, Closed, Silent):
                pass
            time.sleep(0.01)
        self.kill()
        raise RuntimeError(f"pbjd does not answer after {START_MAX_S} s:\n{self.said()}")

    def said(self):
        """What it has printed."""
        return self.log.read_bytes()[-4000:].decode(errors="replace")

    def client(self, timeout=10.0):
        return Client(self.port, timeout)

    def call(self, *args):
        client = self.client()
        try:
            return client.call(*args)
        finally:
            client.close()

    def kill(self):
        """SIGKILL; returns when the process is gone."""
        self.process.kill()
        self.process.wait()

    def stop(self):
        """SIGTERM; returns the exit status."""
        self.process.terminate()
        try:
            return self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.kill()
            raise RuntimeError(f"pbjd does not end:\n{self.said()}") from None


class Writer(threading.Thread):
    """Pushes 0, 1, 2, ... to a list of its own, and every tenth time a job, until the daemon is gone."""

    def __init__(self, daemon, name):
        super().__init__(daemon=True)
        self.name = name
        self.client = daemon.client()
        # When each number was acknowledged, in monotonic seconds, and the same of jobs by id.
        self.acknowledged_at = []
        self.jobs = {}
        self.refused = None
        self.halted = threading.Event()
        self.start()

    def run(self):
        try:
            while not self.halted.is_set():
                number = len(self.acknowledged_at)
                kind, content = self.client.call("RPUSH", f"list:{self.name}", number)
                if kind == "-":
                    self.refused = content.decode()
                    return
                assert content == number + 1, f"list:{self.name} has {content} elements after {number}"
                self.acknowledged_at.append(time.monotonic())
                if number % 10 == 0:
                    kind, content = self.client.call("JOB.PUSH", self.name, "none", "payload of a job", "DELAY", "1h")
                    if kind == "$":
                        self.jobs[content] = time.monotonic()
        except (OSError, Closed, Silent):
            pass
        finally:
            self.client.close()

    def halt(self):
        """Ends the writing after the request at hand."""
        self.halted.set()
        self.join()


def losses(daemon, writers, since=None):
    """What was acknowledged and is not there, as lines; what was acknowledged from `since` on may be lost."""
    client = daemon.client(60)
    found = []
    for writer in writers:
        kind, elements = client.call("LRANGE", f"list:{writer.name}", 0, -1)
        assert kind == "*", elements
        numbers = [int(content) for _, content in elements]
        if numbers != list(range(len(numbers))):
            found.append(f"list:{writer.name} has a hole or a double: {numbers[-20:]}")
        owed = sum(1 for at in writer.acknowledged_at if since is None or at < since)
        if len(numbers) < owed:
            found.append(f"list:{writer.name} has {len(numbers)} of {owed} acknowledged elements")
        for job in [job for job, at in writer.jobs.items() if since is None or at < since]:
            kind, content = client.call("JOB.GET", job)
            if kind != "*" or ("$", b"delayed") not in (content or []):
                found.append(f"job {job.decode()} was acknowledged and is {kind}{content}")
    client.close()
    return found
