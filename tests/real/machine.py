"""What the tests on real material share: a daemon, workers and calls of pbj in a temporary folder.

Everything listens on loopback, on a free port, and is ended by its own process id.
"""

import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.append(str(ROOT / "tests" / "shared"))

from ports import free_port  # noqa: E402


def programs(folder):
    """The folder of pbj and pbjd: as given, or the newest build of this tree."""
    if folder:
        return pathlib.Path(folder).resolve()
    builds = [ROOT / "target" / profile for profile in ("release", "debug")]
    builds = [build for build in builds if (build / "pbj").exists() and (build / "pbjd").exists()]
    if not builds:
        sys.exit("there is no build: cargo build --release -p pbj, or --bin FOLDER")
    return max(builds, key=lambda build: (build / "pbj").stat().st_mtime)


class Machine:
    """A daemon and its workers."""

    def __init__(self, bin_folder):
        self.bin = programs(bin_folder)
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="pbj-real-"))
        (self.folder / "data").mkdir()
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self.environment = {**os.environ, "PBJ_URL": self.url}
        self.daemon = None
        self.workers = {}

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        for process in [*self.workers.values(), self.daemon]:
            if process and process.poll() is None:
                process.terminate()
                try:
                    process.wait(60)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()
        if kind is None:
            shutil.rmtree(self.folder)
        else:
            print(f"logs and data are left in {self.folder}", file=sys.stderr)

    def log(self, name):
        return open(self.folder / f"{name}.log", "ab")

    def start_daemon(self, *directives):
        words = ["--port", str(self.port), "--http-port", "0", "--dir", str(self.folder / "data"), *directives]
        with self.log("pbjd") as log:
            self.daemon = subprocess.Popen([self.bin / "pbjd", *words], stdout=log, stderr=log)
        self.wait("the daemon serves", lambda: self.call("cli", "ping", check=False).stdout == b"PONG\n")

    def start_worker(self, name, *options):
        words = ["worker", "--name", name, *options]
        with self.log(name) as log:
            process = subprocess.Popen(
                [self.bin / "pbj", *words], env=self.environment, cwd=self.folder, stdout=log, stderr=log
            )
        self.workers[name] = process

    def call(self, *words, check=True, **options):
        done = subprocess.run([self.bin / "pbj", *words], env=self.environment, capture_output=True, **options)
        if check and done.returncode != 0:
            raise RuntimeError(f"pbj {' '.join(map(str, words))}: exit {done.returncode}: {done.stderr.decode()}")
        return done

    def json(self, *words):
        return json.loads(self.call("--json", *words).stdout)

    @staticmethod
    def wait(what, is_so, seconds=60):
        end = time.monotonic() + seconds
        while not is_so():
            if time.monotonic() > end:
                raise RuntimeError(f"still not so after {seconds} s: {what}")
            time.sleep(0.02)

    @staticmethod
    def kill(process):
        """As a power cut."""
        process.send_signal(signal.SIGKILL)
        process.wait()
