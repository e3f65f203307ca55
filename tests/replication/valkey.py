"""Valkey 8, from the backports of Debian: unpacked into a cache, not installed.

`find` gives the path of its server, or says why there is none: a machine without apt or without a network plays the other
parts all the same.
"""

import os
import pathlib
import shutil
import subprocess

RELEASE = "bookworm-backports"
PACKAGES = ["valkey-server", "valkey-tools"]
SERVER = "usr/bin/valkey-server"


def folder():
    base = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return pathlib.Path(base) / "pbj-replication" / "valkey-8"


def find():
    """The path of the server; raises OSError, with a reason, if it cannot be had."""
    given = os.environ.get("VALKEY_SERVER")
    if given:
        return given
    server = folder() / SERVER
    if not server.exists():
        if not shutil.which("apt-get") or not shutil.which("dpkg-deb"):
            raise OSError("there is no apt to get valkey-server with, and VALKEY_SERVER names none")
        try:
            fetch()
        except subprocess.CalledProcessError as fault:
            raise OSError(f"{RELEASE} cannot be reached: {(fault.stderr or b'').decode(errors='replace')[-200:]}") from fault
    return str(server)


def fetch():
    """Fetches the packages; needs no privileges."""
    root = folder()
    parts, lists = root / "parts.d", root / "lists"
    for path in (parts, lists / "partial", root / "cache" / "archives" / "partial"):
        path.mkdir(parents=True, exist_ok=True)
    key = "Components: main\nSigned-By: /usr/share/keyrings/debian-archive-keyring.gpg\n"
    (parts / "backports.sources").write_text(f"Types: deb\nURIs: http://deb.debian.org/debian\nSuites: {RELEASE}\n{key}")
    options = {
        "Dir::Etc::SourceList": "/dev/null", "Dir::Etc::SourceParts": parts,
        "Dir::State::Lists": lists, "Dir::Cache": root / "cache", "APT::Sandbox::User": "root",
    }  # fmt: skip
    apt = ["apt-get", *(part for name, value in options.items() for part in ("-o", f"{name}={value}"))]
    subprocess.run([*apt, "update"], check=True, capture_output=True)
    subprocess.run([*apt, "download", *PACKAGES], check=True, capture_output=True, cwd=root)
    for package in sorted(root.glob("*.deb")):
        subprocess.run(["dpkg-deb", "-x", str(package), str(root)], check=True, capture_output=True)
