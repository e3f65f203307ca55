"""What the jobs do, in every Python library the same: they write down, in files that no server sees, that they ran.

The folder TRIAL_DIR has: `ran` (a line with id and time for each run that came to its end), `began` (a line for each plain job
that was started), `tries-ID` (a byte for each try of a job that fails TRIAL_FAILURES times), and `hold`, while which exists no plain job ends.
"""

import os
import time

FOLDER = os.environ["TRIAL_DIR"]
HOST, PORT = os.environ["TRIAL_URL"].removeprefix("redis://").removesuffix("/0").split(":")
FAILURES = int(os.environ["TRIAL_FAILURES"])


class NotYet(Exception):
    """A job fails on purpose."""


def note(name, text):
    # One write to a file opened for appending: the lines of several processes do not mix.
    with open(os.path.join(FOLDER, name), "a", encoding="ascii") as file:
        file.write(text)


def plain(number):
    note("began", f"{number}\n")
    while os.path.exists(os.path.join(FOLDER, "hold")):
        time.sleep(0.02)
    note("ran", f"{number} {time.time()}\n")
    return number


def flaky(number):
    note(f"tries-{number}", ".")
    if os.path.getsize(os.path.join(FOLDER, f"tries-{number}")) <= FAILURES:
        raise NotYet(number)
    note("ran", f"{number} {time.time()}\n")
    return number


def later(number):
    note("ran", f"{number} {time.time()}\n")
    return number
