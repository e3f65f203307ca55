"""Whether this machine stood still: a virtual machine may, for seconds, and what hangs on the clock is late then.

Law: nothing that was found is excused by it. It says that a time which was measured, or a trial that hangs on one, is worth
another look.
"""

import threading
import time

LOOK_S = 0.05
STALL_S = 0.3


class Stalls(threading.Thread):
    """Looks at the clock all the time, and sums up how long it could not."""

    def __init__(self):
        super().__init__(daemon=True)
        self.lost_s = 0.0
        self.start()

    def run(self):
        last = time.monotonic()
        while True:
            time.sleep(LOOK_S)
            now = time.monotonic()
            if now - last > STALL_S:
                self.lost_s += now - last
            last = now
