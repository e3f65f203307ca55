"""Ports for servers of tests; printed, one a line, when this is run: ports.py [COUNT].

Law: a port is below those that the kernel gives to outgoing connections (they begin at 32768). While a server that was killed is
away its clients go on trying to connect, and one of them could be given that very port, and talk to itself; and what was free a
moment ago is given to nobody else before the server listens. Those from 20000 on are left to Redis's own suite.
"""

import random
import socket
import sys


def free_port():
    """A port that nobody uses."""
    while True:
        port = random.randrange(10_240, 20_000)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
                return port
            except OSError:
                continue


if __name__ == "__main__":
    for _ in range(int(sys.argv[1]) if len(sys.argv) > 1 else 1):
        print(free_port())
