"""Configuration of many processes: kept in one hash, read once, and read again when somebody says that it has changed."""

import threading


class Configuration:
    """The values, as fresh as the last message; a process that missed messages reads everything when it is back."""

    def __init__(self, r, name):
        self.r, self.key, self.changed = r, f"config:{name}", threading.Event()
        self.values = {}
        self.pubsub = r.pubsub(ignore_subscribe_messages=True)
        self.pubsub.subscribe(**{self.key: lambda message: self._read()})
        # First subscribed, then read: no change falls in between.
        self._read()
        self.thread = self.pubsub.run_in_thread(sleep_time=0.1, daemon=True)

    def _read(self):
        self.values = self.r.hgetall(self.key)
        self.changed.set()

    def close(self):
        self.thread.stop()
        self.thread.join()


def configure(r, name, **values):
    with r.pipeline() as pipe:
        pipe.hset(f"config:{name}", mapping=values)
        pipe.publish(f"config:{name}", "changed")
        pipe.execute()


def demo(r):
    configure(r, "shop", tax=19, open="yes")
    shop = Configuration(r, "shop")
    assert shop.values == {"tax": "19", "open": "yes"}
    configure(r, "shop", open="no")
    while shop.values["open"] != "no":
        shop.changed.clear()
        assert shop.values["open"] == "no" or shop.changed.wait(5)
    assert shop.values == {"tax": "19", "open": "no"}
    shop.close()
