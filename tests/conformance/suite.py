"""Where the foreign suites come from, and a folder in which one of them runs.

Law: nothing of a suite is kept in this repository, and the fetched sources are never changed: each run works in a
folder of its own, with copies of the few files that must differ.
"""

import dataclasses
import os
import pathlib
import shutil
import subprocess

TOOLS = ["cli", "benchmark", "check-aof", "check-rdb"]

# A suite waits for a few phrases of the log before it talks to a server that it has started. What the daemon logs goes where the
# suite looks for it.
# It also reads the log itself, where it knows no checksums.
# Without a file that says otherwise, pbjd listens on the loopback interface only; the suite expects all of them.
WRAPPER = """#!/bin/sh
case "$1" in
--*) exec "{pbjd}" --http-port 0 --io-threads 1 --aof-checksums no "$@" 2>&1 ;;
esac
file=$1
shift
grep -q "^bind" "$file" || set -- "$@" --bind "* -::*"
exec "{pbjd}" "$file" "$@" --http-port 0 --io-threads 1 --aof-checksums no 2>&1
"""


@dataclasses.dataclass(frozen=True)
class Suite:
    """The suite of another server."""

    # The first word of its programs and of its configuration file, and the name under which expectations are kept.
    name: str
    version: str
    # Its source package, and the releases of Debian that have it.
    package: str
    releases: str
    security: bool
    # A variable that names a folder with unpacked sources.
    variable: str
    # What the suite is told to leave out.
    tags: str
    # Directives of its servers that pbjd does not have, because the server has them for its own tests.
    foreign_directives: tuple = ()
    # What is changed in the copies: file, text, other text.
    patches: tuple = ()
    # What is changed besides when pbjd is played, so that tests are not lost along with one that it cannot do.
    own_patches: tuple = ()

    def expectations(self):
        return "expected.tsv" if self.name == "redis" else f"expected-{self.name}.tsv"


SUITES = {
    "redis": Suite(
        "redis", "7.0.15", "redis=5:7.0.15-1~deb12u10", "bookworm bookworm-updates", True, "REDIS_SOURCE", "-slow",
        own_patches=(
            # A test that kills child processes is left out; those behind it count on the rewrite at its end.
            ("integration/aof-multi-part.tcl", 'AOF turn off" {\n', 'AOF turn off" {\n r bgrewriteaof; waitForBgrewriteaof r\n'),
            # The reply of CONFIG SET does not wait for files to be removed.
            ("integration/aof-multi-part.tcl", "aof-disable-auto-gc no\n", "aof-disable-auto-gc no\n after 300\n"),
        ),
    ),
    # For what came after Redis 7.0. Tests with replicas and clusters are left out.
    "valkey": Suite(
        "valkey", "9.1.2", "valkey=9.1.2-1", "forky sid", False, "VALKEY_SOURCE", "-slow -needs:repl -cluster",
        ("enable-debug-assert", "hide-user-data-from-log"),
        # A test with replicas that does not say so, and would end the unit.
        (("unit/hashexpire.tcl", 'tags {"hashexpire external:skip"}} {\nstart_server {} {', 'tags {"needs:repl external:skip"}} {\nstart_server {} {'),),
    ),
}


def cache_folder():
    base = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return pathlib.Path(base) / "pbj-conformance"


def find(suite, given=None):
    """The folder of the sources: the one that is given, the one that the suite's variable names, or a fetched one."""
    given = given or os.environ.get(suite.variable)
    if given:
        return pathlib.Path(given).resolve()
    source = cache_folder() / "src" / f"{suite.name}-{suite.version}"
    return source if source.is_dir() else fetch(suite, source)


def fetch(suite, source):
    """Fetches the source package of Debian, with its patches; needs apt and dpkg-dev, but no privileges."""
    base = cache_folder()
    parts, lists = base / f"{suite.name}.parts.d", base / f"{suite.name}.lists"
    for folder in (parts, lists / "partial", base / "cache" / "archives" / "partial", base / "src"):
        folder.mkdir(parents=True, exist_ok=True)
    key = "Components: main\nSigned-By: /usr/share/keyrings/debian-archive-keyring.gpg\n"
    text = f"Types: deb-src\nURIs: http://deb.debian.org/debian\nSuites: {suite.releases}\n{key}"
    if suite.security:
        release = suite.releases.split()[0]
        text += f"\nTypes: deb-src\nURIs: http://deb.debian.org/debian-security\nSuites: {release}-security\n{key}"
    known = pathlib.Path("/etc/apt/sources.list.d/debian.sources")
    if suite.security and known.exists():
        # The machine may have a nearer mirror.
        text = known.read_text().replace("Types: deb\n", "Types: deb-src\n")
    (parts / "src.sources").write_text(text)
    options = {
        "Dir::Etc::SourceList": "/dev/null", "Dir::Etc::SourceParts": parts,
        "Dir::State::Lists": lists, "Dir::Cache": base / "cache", "APT::Sandbox::User": "root",
    }
    apt = ["apt-get", *(part for name, value in options.items() for part in ("-o", f"{name}={value}"))]
    subprocess.run([*apt, "update"], check=True, stdout=subprocess.DEVNULL)
    subprocess.run([*apt, "source", suite.package], check=True, cwd=base / "src", stdout=subprocess.DEVNULL)
    return source


def prepare(suite, source, folder, pbjd, other=None):
    """Makes `folder` look like a source tree in which pbjd was built, or in which this other server was."""
    folder = pathlib.Path(folder)
    (folder / "src").mkdir(parents=True)
    for tool in TOOLS:
        path = shutil.which(f"redis-{tool}")
        if path:
            (folder / "src" / f"{suite.name}-{tool}").symlink_to(path)
    server = folder / "src" / f"{suite.name}-server"
    if other:
        server.symlink_to(other)
    else:
        server.write_text(WRAPPER.format(pbjd=pathlib.Path(pbjd).resolve()))
        server.chmod(0o755)
    for name in ("utils", f"{suite.name}.conf"):
        (folder / name).symlink_to(source / name)
    # Copies, not links: a suite may ask where its files really are, and look for all others there.
    tests = folder / "tests"
    shutil.copytree(source / "tests", tests, ignore=shutil.ignore_patterns("tmp"))
    (tests / "tmp").mkdir()
    # A server without FUNCTION has no functions to forget.
    helper = tests / "support" / "server.tcl"
    helper.write_text(helper.read_text().replace("    r function flush\n", "    catch {r function flush}\n"))
    for path, before, after in suite.patches + (() if other else suite.own_patches):
        text = (tests / path).read_text()
        if before not in text:
            raise RuntimeError(f"{path} of {suite.name} {suite.version} is not as expected: no {before!r}")
        (tests / path).write_text(text.replace(before, after))
    config = tests / "assets" / "default.conf"
    kept = [line for line in config.read_text().splitlines() if not line.startswith(suite.foreign_directives or ("\0",))]
    config.write_text("\n".join(kept) + "\n")
