"""The trial of a job library: ordinary work, then a crash of the server in the middle; no job whose push succeeded may be missing.

Law: what ran is told by files that no server sees (libraries/bodies.py). The crash comes while the workers are held inside a job,
so that none of them is just popping: what a library pops and has not read when its server dies is lost with any server.
"""

import os
import pathlib
import shutil
import signal
import subprocess
import tempfile
import time

from places import HERE, Server, node_modules, python_of

LIBRARIES = HERE / "libraries"
DELAY_S = 2.0
# RQ counts in whole seconds, and may be one early.
EARLY_MAX_S = 1.0
WAIT_MAX_S = 60
# The scheduler of some libraries ends with its connection, and holds a lock for another minute; what is due then comes when the
# worker is started again, as its user would do. A job is missing when it is not found then either.
SILENCE_S = 20
ALL_MAX_S = 150
JOBS_OF_A_KIND = 5
IN_FLIGHT = 40
BEGUN = 1


class Missing(Exception):
    """What should have come did not."""


class Library:
    """How the worker and the producer of a library are started, and whether it tells results."""

    def __init__(self, worker, producer, place, results=True, failures=2):
        self.worker, self.producer, self.place, self.results, self.failures = worker, producer, place, results, failures


def _python(name, worker, requirements="requirements.txt", **more):
    return Library(worker, ["{python}", "produce.py", name], lambda: {"python": python_of(requirements)}, **more)


def _node(name, **more):
    return Library(["node", "work.mjs", name], ["node", "produce.mjs", name], lambda: {"modules": node_modules()}, **more)


LIBRARIES_BY_NAME = {
    "celery": _python(
        "with_celery",
        "{python} -m celery -A with_celery worker -c {width} --loglevel WARNING --without-gossip --without-mingle".split(),
    ),
    "rq": _python("with_rq", "{python} -m rq.cli worker trial --with-scheduler --url {url} --quiet".split()),
    "huey": _python("with_huey", "{python} -m huey.bin.huey_consumer with_huey.queue -w {width}".split()),
    "dramatiq": _python(
        "with_dramatiq", "{python} -m dramatiq with_dramatiq --processes 1 --threads {width}".split(), results=False
    ),
    "arq": _python("with_arq", "{python} -m arq with_arq.Worker".split(), "requirements-older.txt"),
    "rpqueue": _python(
        "with_rpqueue",
        "{python} -m rpqueue.run --host 127.0.0.1 --port {port} --module with_rpqueue --threads {width}".split(),
    ),
    "bullmq": _node("with_bullmq"),
    "bull": _node("with_bull"),
    "bee-queue": _node("with_bee", results=False),
    "sidekiq": Library(
        "sidekiq -r ./with_sidekiq.rb -q trial -c {width}".split(), ["ruby", "with_sidekiq.rb"], dict, results=False, failures=1
    ),
}


class Trial:
    """One library against one server."""

    def __init__(self, name, binary, width=2, sync="always"):
        self.library = LIBRARIES_BY_NAME[name]
        places = self.library.place()
        self.server = Server(binary, "--appendfsync", sync)
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="pbj-trial-"))
        self.programs = self.folder / "programs"
        shutil.copytree(LIBRARIES, self.programs, ignore=shutil.ignore_patterns("__pycache__"))
        if "modules" in places:
            (self.programs / "node_modules").symlink_to(places["modules"])
        values = {"python": places.get("python"), "url": self.server.url(), "port": self.server.port, "width": width}
        self.worker_command = [word.format(**values) for word in self.library.worker]
        self.producer_command = [word.format(**values) for word in self.library.producer]
        self.environment = {
            **os.environ,
            "TRIAL_URL": self.server.url(),
            "TRIAL_DIR": str(self.folder),
            "TRIAL_DELAY_S": str(DELAY_S),
            "TRIAL_FAILURES": str(self.library.failures),
            "TRIAL_WIDTH": str(width),
            "PYTHONPATH": str(self.programs),
            "PYTHONDONTWRITEBYTECODE": "1",
            "PYTHONUNBUFFERED": "1",
            "PYTHONWARNINGS": "ignore",
        }
        self.worker = None
        self.workers_started = 0
        self.producers = []

    # What the files say.

    def lines(self, name):
        file = self.folder / name
        return file.read_text().splitlines() if file.exists() else []

    def ran(self):
        """The times of the runs by id."""
        runs = {}
        for line in self.lines("ran"):
            number, at = line.split()
            runs.setdefault(number, []).append(float(at))
        return runs

    def acked(self):
        """When each job was pushed whose push succeeded, by id: the time before the call, from which a delay counts."""
        return {number: float(at) for number, at in (line.split() for line in self.lines("acked"))}

    # Processes.

    def _spawn(self, command, output):
        with open(self.folder / output, "ab") as log:
            return subprocess.Popen(
                command,
                cwd=self.programs,
                env={**self.environment, "TRIAL_ROLE": output},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def watch_worker(self):
        """What a service manager does: a worker that ended is started again."""
        if self.worker is None or self.worker.poll() is not None:
            self.worker = self._spawn(self.worker_command, "work")
            self.workers_started += 1

    def produce(self, kind, first, count):
        producer = self._spawn([*self.producer_command, kind, str(first), str(count)], "produce")
        self.producers.append(producer)
        return producer

    def until(self, what, is_so, wait_max_s=WAIT_MAX_S):
        deadline = time.monotonic() + wait_max_s
        while not is_so():
            if time.monotonic() > deadline:
                raise Missing(what() if callable(what) else what)
            if self.worker is not None:
                self.watch_worker()
            time.sleep(0.02)

    def finish(self, producer):
        self.until("a producer did not end", lambda: producer.poll() is not None)
        if producer.returncode != 0:
            raise Missing(f"a producer failed: {producer.returncode}")

    def until_all_ran(self):
        def rest():
            return sorted(set(self.acked()) - set(self.ran()))

        heard = [len(self.ran()), time.monotonic()]

        def none_left():
            if len(self.ran()) > heard[0]:
                heard[:] = len(self.ran()), time.monotonic()
            if time.monotonic() > heard[1] + SILENCE_S:
                heard[1] = time.monotonic()
                self.end(self.worker)
            return not rest()

        self.until(lambda: f"{len(rest())} of {len(self.acked())} jobs never ran: {rest()[:10]}", none_left, ALL_MAX_S)

    # The trial.

    def ordinary(self):
        """Jobs of each kind run; those that fail are tried again, and those that are for later come later."""
        self.watch_worker()
        for kind in ("plain", "flaky", "later"):
            self.finish(self.produce(kind, 0, JOBS_OF_A_KIND))
        self.until_all_ran()
        for number, times in self.ran().items():
            if len(times) != 1:
                raise Missing(f"{number} ran {len(times)} times with nothing to break it")
        self.check_delays()
        for number in range(JOBS_OF_A_KIND):
            tries = len("".join(self.lines(f"tries-flaky-{number}")))
            if tries != self.library.failures + 1:
                raise Missing(f"flaky-{number} was tried {tries} times")
        if self.library.results:
            self.finish(self.produce("results", 0, JOBS_OF_A_KIND))

    def check_delays(self):
        acked = self.acked()
        for number, times in self.ran().items():
            if number.startswith("later") and min(times) < acked[number] + DELAY_S - EARLY_MAX_S:
                raise Missing(f"{number} ran {min(times) - acked[number]:.2f} s after its push")

    def crash(self):
        """The server is killed with jobs held, waiting, failing, delayed, and just being pushed; then it starts again."""
        (self.folder / "hold").touch()
        begun = len(self.lines("began"))
        for kind in ("plain", "flaky", "later"):
            self.finish(self.produce(kind, 100, JOBS_OF_A_KIND))
        self.until("no job began", lambda: len(self.lines("began")) >= begun + BEGUN)
        streaming = self.produce("plain", 1000, 0)
        before = len(self.acked())
        self.until("the stream of jobs does not start", lambda: len(self.acked()) >= before + IN_FLIGHT)
        self.server.kill()
        before = len(self.acked())
        self.server.start()
        self.until("the producer does not come back", lambda: len(self.acked()) >= before + IN_FLIGHT)
        (self.folder / "enough").touch()
        self.finish(streaming)
        (self.folder / "hold").unlink()
        self.until_all_ran()

    def rate(self, count):
        """Jobs a second through the library: pushed by one producer, and then run by one worker."""
        start = time.monotonic()
        self.finish(self.produce("plain", 0, count))
        pushed = time.monotonic() - start
        self.watch_worker()
        self.until("no job ran", lambda: self.lines("ran"))
        start, first = time.monotonic(), len(self.lines("ran"))
        self.until(lambda: f"{count - len(self.lines('ran'))} jobs never ran", lambda: len(self.lines("ran")) >= count)
        return count / pushed, (count - first) / (time.monotonic() - start)

    @staticmethod
    def end(process):
        """Ends a worker or a producer as its user would, and what it left with it."""
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(5)
            except subprocess.TimeoutExpired:
                pass
        # The session that was made for it, so whoever is in it is ours.
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        process.wait()

    def stop(self):
        for process in [self.worker, *self.producers]:
            if process is not None:
                self.end(process)
        self.server.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def story(self):
        """What is said of a trial that failed."""
        parts = [f"{self.workers_started} workers were started, {len(self.acked())} jobs pushed, {len(self.ran())} ran"]
        for name in ("work", "produce", "failed"):
            parts.append(f"-- {name}:\n" + "\n".join(self.lines(name)[-30:]))
        parts.append(f"-- the server:\n{self.server.log()}")
        return "\n".join(parts)


def run(name, binary):
    """The whole trial of a library: what it has to say when it went well, or `Missing`, with the story."""
    trial = Trial(name, binary)
    try:
        trial.ordinary()
        trial.crash()
        ran, acked = trial.ran(), trial.acked()
        twice = sum(len(times) > 1 for times in ran.values())
        again = trial.workers_started - 1
        return f"{len(acked)} jobs, {twice} of them run more than once, worker restarted {again} times"
    except Missing as missing:
        raise Missing(f"{missing}\n{trial.story()}") from None
    finally:
        trial.stop()


def rate(name, binary, count):
    """Jobs a second: pushed, run."""
    trial = Trial(name, binary, width=1, sync="everysec")
    try:
        return trial.rate(count)
    except Missing as missing:
        raise Missing(f"{missing}\n{trial.story()}") from None
    finally:
        trial.stop()
