"""Where the foreign suite comes from, and a folder in which it runs.

Law: nothing of the suite is kept in this repository, and the fetched sources are never changed: each run works in a
folder of its own, with copies of the few files that must differ.
"""

import os
import pathlib
import shutil
import subprocess

VERSION = "7.0.15"
PACKAGE = "redis=5:7.0.15-1~deb12u10"
TOOLS = ["redis-cli", "redis-benchmark", "redis-check-aof", "redis-check-rdb"]

# The suite waits for these two phrases before it talks to a server that it has started: the wrapper says the first, the
# daemon the second. What the daemon logs goes where the suite looks for it.
WRAPPER = """#!/bin/sh
echo "* Server initialized PID: $$"
exec "{pbjd}" "$@" --http-port 0 --io-threads 1 2>&1
"""


def cache_folder():
    base = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return pathlib.Path(base) / "pbj-conformance"


def find(given=None):
    """The folder of the sources: the one that is given, the one that `REDIS_SOURCE` names, or a fetched one."""
    given = given or os.environ.get("REDIS_SOURCE")
    if given:
        return pathlib.Path(given).resolve()
    source = cache_folder() / "src" / f"redis-{VERSION}"
    return source if source.is_dir() else fetch(source)


def fetch(source):
    """Fetches the source package of Debian, with its patches; needs apt and dpkg-dev, but no privileges."""
    base = cache_folder()
    for folder in ("parts.d", "lists/partial", "cache/archives/partial", "src"):
        (base / folder).mkdir(parents=True, exist_ok=True)
    known = pathlib.Path("/etc/apt/sources.list.d/debian.sources")
    if known.exists():
        lines = known.read_text().replace("Types: deb\n", "Types: deb-src\n")
    else:
        lines = (
            "Types: deb-src\nURIs: http://deb.debian.org/debian\nSuites: bookworm bookworm-updates\nComponents: main\n"
            "Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg\n\n"
            "Types: deb-src\nURIs: http://deb.debian.org/debian-security\nSuites: bookworm-security\nComponents: main\n"
            "Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg\n"
        )
    (base / "parts.d" / "src.sources").write_text(lines)
    options = {
        "Dir::Etc::SourceList": "/dev/null", "Dir::Etc::SourceParts": base / "parts.d",
        "Dir::State::Lists": base / "lists", "Dir::Cache": base / "cache", "APT::Sandbox::User": "root",
    }
    apt = ["apt-get", *(part for name, value in options.items() for part in ("-o", f"{name}={value}"))]
    subprocess.run([*apt, "update"], check=True, stdout=subprocess.DEVNULL)
    subprocess.run([*apt, "source", PACKAGE], check=True, cwd=base / "src", stdout=subprocess.DEVNULL)
    return source


def prepare(source, folder, pbjd):
    """Makes `folder` look like a source tree of Redis in which pbjd was built."""
    folder = pathlib.Path(folder)
    (folder / "src").mkdir(parents=True)
    for tool in TOOLS:
        path = shutil.which(tool)
        if path:
            (folder / "src" / tool).symlink_to(path)
    server = folder / "src" / "redis-server"
    server.write_text(WRAPPER.format(pbjd=pathlib.Path(pbjd).resolve()))
    server.chmod(0o755)
    for name in ("utils", "redis.conf"):
        (folder / name).symlink_to(source / name)
    tests = folder / "tests"
    (tests / "tmp").mkdir(parents=True)
    for path in (source / "tests").iterdir():
        if path.name not in ("tmp", "support", "assets"):
            (tests / path.name).symlink_to(path)
    shutil.copytree(source / "tests" / "assets", tests / "assets")
    shutil.copytree(source / "tests" / "support", tests / "support")
    # A server without FUNCTION has no functions to forget.
    helper = tests / "support" / "server.tcl"
    helper.write_text(helper.read_text().replace("    r function flush\n", "    catch {r function flush}\n"))
