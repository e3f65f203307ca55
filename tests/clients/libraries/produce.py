"""Pushes jobs with a library: produce.py LIBRARY KIND FIRST COUNT   (COUNT 0: until the file `enough` is there)

Each job whose push the library reported as done is a line in the file `acked`, with the time at which it began; a push that failed is tried again, as a program does
that has something to say. A module of this folder is a library's part: `enqueue(kind, number)`, and `result(number)` where it has one.
"""

import importlib
import os
import sys
import time

from bodies import FOLDER, note

TRY_MAX_S = 20


def push(library, kind, number):
    deadline = time.monotonic() + TRY_MAX_S
    while True:
        began = time.time()
        try:
            library.enqueue(kind, f"{kind}-{number}")
            break
        except Exception as error:  # each library has errors of its own for a server that is not there
            if time.monotonic() > deadline:
                raise
            note("failed", f"{kind}-{number} {error!r}\n")
            time.sleep(0.05)
    note("acked", f"{kind}-{number} {began}\n")


def main():
    name, kind, first, count = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
    library = importlib.import_module(name)
    if kind == "results":
        for number in range(first, first + count):
            found = library.result(f"plain-{number}")
            if found != f"plain-{number}":
                sys.exit(f"the result of plain-{number} is {found!r}")
        return
    number = first
    while (number < first + count) if count else not os.path.exists(os.path.join(FOLDER, "enough")):
        push(library, kind, number)
        number += 1
        if not count:
            time.sleep(0.005)


main()
