"""The Redis protocol, both versions, as a client sees it.

Law: nothing of a reply is lost on the way. A frame is a pair of its kind (the first byte on the wire) and its content,
so a status is not a string, a null bulk is not a null array, and a set is not an array.

    ('+', b'OK')  ('-', b'ERR ...')  (':', 7)  ('$', b'text')  ('$', None)  ('*', [frame, ...])  ('*', None)
    ('%', [key, value, ...])  ('~', [...])  ('>', [...])  (',', b'1.5')  ('#', b't')  ('_', None)  ('=', b'txt:...')
"""

import socket
import time


class Closed(Exception):
    """The server ended the connection."""


class Silent(Exception):
    """No whole frame came in time."""


def encode(args):
    """A request as clients send it."""
    parts = [b"*%d\r\n" % len(args)]
    parts += [b"$%d\r\n%s\r\n" % (len(arg), arg) for arg in args]
    return b"".join(parts)


class Incomplete(Exception):
    """The frame goes on in bytes that are not here yet."""


def _line(data, at):
    end = data.find(b"\r\n", at)
    if end < 0:
        raise Incomplete
    return data[at:end], end + 2


def _frame(data, at):
    line, at = _line(data, at)
    kind, rest = chr(line[0]), bytes(line[1:])
    if kind in "+-,#(":
        return (kind, rest), at
    if kind == ":":
        return (kind, int(rest)), at
    if kind == "_":
        return (kind, None), at
    length = int(rest)
    if length < 0:
        return (kind, None), at
    if kind in "$=":
        if len(data) < at + length + 2:
            raise Incomplete
        return (kind, bytes(data[at : at + length])), at + length + 2
    if kind not in "*%~>|":
        raise ValueError(f"no frame begins with {line!r}")
    items = []
    for _ in range(length * 2 if kind in "%|" else length):
        item, at = _frame(data, at)
        items.append(item)
    return (kind, items), at


class Client:
    """A connection to a server on loopback."""

    def __init__(self, port, timeout=10.0):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=timeout)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.timeout = timeout
        self.data = bytearray()

    def send(self, args):
        self.socket.sendall(encode(args))

    def send_raw(self, data):
        self.socket.sendall(data)

    def frame(self, timeout=None):
        """The next frame; raises `Silent` if none comes in time, `Closed` if none will come any more."""
        deadline = time.monotonic() + (self.timeout if timeout is None else timeout)
        while True:
            if self.data:
                try:
                    frame, end = _frame(self.data, 0)
                    del self.data[:end]
                    return frame
                except Incomplete:
                    pass
            self._receive(deadline)

    def _receive(self, deadline):
        left = deadline - time.monotonic()
        if left <= 0:
            raise Silent
        self.socket.settimeout(left)
        try:
            received = self.socket.recv(1 << 18)
        except socket.timeout:
            raise Silent from None
        except ConnectionError:
            raise Closed from None
        if not received:
            raise Closed
        self.data += received

    def frames_at_hand(self):
        """The whole frames that are here already, and whether the server has closed."""
        closed = False
        self.socket.settimeout(0)
        try:
            while received := self.socket.recv(1 << 18):
                self.data += received
            closed = True
        except BlockingIOError:
            pass
        except ConnectionError:
            closed = True
        self.socket.settimeout(self.timeout)
        frames = []
        try:
            while self.data:
                frame, end = _frame(self.data, 0)
                del self.data[:end]
                frames.append(frame)
        except Incomplete:
            pass
        return frames, closed

    def rest(self, quiet):
        """All bytes until the server closes or is quiet for so many seconds, and whether it has closed."""
        try:
            while True:
                self._receive(time.monotonic() + quiet)
        except Silent:
            return bytes(self.data), False
        except Closed:
            return bytes(self.data), True

    def call(self, *args):
        """One request and its reply."""
        self.send([arg if isinstance(arg, bytes) else str(arg).encode() for arg in args])
        return self.frame()

    def close(self):
        self.socket.close()


def show(frame, limit=300):
    """A frame as a line to read."""
    kind, content = frame
    if kind in "*%~>|" and content is not None:
        text = f"{kind}[{', '.join(show(item, limit) for item in content)}]"
    elif content is None:
        text = f"{kind}null"
    else:
        text = f"{kind}{content!r}"
    return text if len(text) <= limit else f"{text[:limit]}... ({len(text)} characters)"
