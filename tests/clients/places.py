"""Where the clients come from: Python environments and a Node folder in the user's cache, and a server in a temporary folder.

Law: what was downloaded is kept by the hash of the list that asked for it, and a half-made folder never passes for a whole one;
servers listen on loopback only, and are ended by their process number.
"""

import hashlib
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path.append(str(HERE.parent / "shared"))

from ports import free_port  # noqa: E402

CACHE = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache") / "pbj-clients"
START_MAX_S = 20
STOP_MAX_S = 20


def _made_once(kind, asked, make):
    """The folder of the cache that `make(folder)` filled for the bytes `asked`."""
    name = f"{kind}-{hashlib.sha256(asked).hexdigest()[:16]}"
    done = CACHE / name / "done"
    if not done.exists():
        shutil.rmtree(CACHE / name, ignore_errors=True)
        (CACHE / name).mkdir(parents=True)
        make(CACHE / name)
        done.touch()
    return CACHE / name


def python_of(requirements):
    """The interpreter of an environment that has what the file `requirements` lists."""
    wanted = HERE / requirements

    def make(folder):
        # An environment knows its own path: it is made where it stays.
        subprocess.run([sys.executable, "-m", "venv", folder / "venv"], check=True)
        pip = [folder / "venv/bin/pip", "--quiet", "--disable-pip-version-check", "install", "--requirement", wanted]
        subprocess.run(pip, check=True)

    asked = wanted.read_bytes() + sys.version.encode()
    return _made_once("python", asked, make) / "venv/bin/python"


def node_modules():
    """The folder node_modules that package.json and its lock ask for."""
    lists = [HERE / "package.json", HERE / "package-lock.json"]

    def make(folder):
        for file in lists:
            shutil.copy(file, folder)
        # None of them needs its install script, and one would fetch a compiler's output.
        quiet = ["--silent", "--no-audit", "--no-fund", "--no-update-notifier", "--ignore-scripts"]
        subprocess.run(["npm", "ci", *quiet], cwd=folder, check=True)

    return _made_once("node", b"".join(file.read_bytes() for file in lists), make) / "node_modules"


class Server:
    """pbjd, or redis-server in its place, with a log that is synced before each answer: what it said it has, it has."""

    def __init__(self, binary, *more):
        self.port = free_port()
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="pbj-clients-"))
        (self.folder / "data").mkdir()
        self.command = [str(binary), "--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self.folder / "data")]
        self.command += ["--appendonly", "yes", "--appendfsync", "always", "--save", "", *more]
        if pathlib.Path(binary).name.startswith("pbjd"):
            self.command += ["--http-port", "0"]
        self.process = None
        self.start()

    def start(self):
        with open(self.folder / "log", "ab") as log:
            self.process = subprocess.Popen(self.command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        deadline = time.monotonic() + START_MAX_S
        while time.monotonic() < deadline and self.process.poll() is None:
            if self.call(b"PING") == b"+PONG":
                return
            time.sleep(0.02)
        sys.exit(f"the server does not start:\n{self.log()}")

    def call(self, *words):
        """The first line of the answer, for questions of one line; nothing when nobody answers."""
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=5) as link:
                link.sendall(b" ".join(words) + b"\r\n")
                return link.makefile("rb").readline().rstrip()
        except OSError:
            return None

    def log(self):
        return (self.folder / "log").read_text(errors="replace")[-4000:]

    def url(self, database=0):
        return f"redis://127.0.0.1:{self.port}/{database}"

    def kill(self):
        """As a crash does it: nothing is said, nothing is written."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def stop(self):
        end(self.process)
        shutil.rmtree(self.folder, ignore_errors=True)


def end(process):
    """Ends a process of ours and all it has started: each of them leads a group of its own, or is alone."""
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(STOP_MAX_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
