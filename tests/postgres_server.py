"""A PostgreSQL of one's own, for tests and benchmarks: Debian's, in a scratch folder, killed at will.

All of it is in that folder, which only its user and root may enter. Under root that is another user,
because PostgreSQL refuses to run as root. A watcher ends it and removes the folder, also where whoever
started it is killed.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

from tests.shell import free_port

if TYPE_CHECKING:
    import psycopg

LONG = 60
"""Seconds that a busy machine may take for anything."""

PASSWORD = "5ecret of postgres"
"""What the server asks for on TCP; on its socket it asks for none."""

_SETTINGS = {
    "listen_addresses": "",
    # What clients take where an address has none.
    "port": os.environ.get("PGPORT", "5432"),
    "max_connections": "200",
    "fsync": "on",
    # Files of the data folder: what a kill leaves of shared memory goes with it.
    "dynamic_shared_memory_type": "mmap",
}
_QUICK = {"fsync": "off", "full_page_writes": "off"}
if sys.platform == "linux":
    # One call after a kill, rather than one for each of a thousand files.
    _SETTINGS["recovery_init_sync_method"] = "syncfs"
# Texts are in the order of a language, unless a ledger asks for that of their bytes, as it should.
_INITDB = (
    "--username=postgres --auth-local=trust --auth-host=scram-sha-256 --encoding=UTF8 --locale=C"
    " --locale-provider=icu --icu-locale=en"
)

# It waits until whoever started the server says so, or is no more.
_WATCH = 'read -r _; "$0/pg_ctl" stop --silent --mode=immediate --pgdata="$1/data"; rm -rf "$1"'


def missing() -> str | None:
    """What this machine lacks to run PostgreSQL, if anything."""
    if _programs() is None:
        return "PostgreSQL's server is not installed"
    return None if find_spec("psycopg") else "psycopg is not installed"


def _programs() -> Path | None:
    """The folder of the server's programs, which Debian keeps out of the PATH."""
    there = shutil.which("initdb")
    folders = [Path(there).resolve().parent] if there else []
    debian = Path("/usr/lib/postgresql").glob("*/bin")
    folders += sorted(debian, key=lambda one: float(one.parent.name), reverse=True)
    return next((one for one in folders if (one / "initdb").exists()), None)


def _user() -> dict[str, Any]:
    """As whom it runs, for Popen: as another user where this process is root's."""
    if os.geteuid() != 0:
        return {}
    import pwd

    names = {one.pw_name: one for one in pwd.getpwall()}
    other = names.get("postgres") or names["nobody"]
    return {"user": other.pw_uid, "group": other.pw_gid, "extra_groups": []}


def _scratch() -> Path:
    """A folder that the server's user owns, in one that this user may pass through."""
    given = Path(tempfile.gettempdir()).resolve()
    open_to_all = all(one.stat().st_mode & 0o1 for one in (given, *given.parents))
    folder = Path(tempfile.mkdtemp(prefix="pg-", dir=given if open_to_all else "/tmp"))
    if user := _user():
        os.chown(folder, user["user"], user["group"])
    return folder


class PostgresServer:
    """A server and its cluster; ``port`` is where it listens on 127.0.0.1, if it does.

    ``log`` is the file that it writes to. One that is ``quick`` flushes nothing to the disk.
    """

    def __init__(self, folder: Path, port: int | None = None, *, quick: bool = False) -> None:
        self.folder, self.port, self._quick = folder, port, quick
        self.log = folder / "log"
        self._given: dict[str, str] = {}
        self._schemas = 0
        self._process: subprocess.Popen[bytes] | None = None
        self._bin = _programs()
        assert self._bin is not None, missing()
        # A Ctrl-C is for the tests, which then end it in their own way.
        self._how = {"cwd": folder, "start_new_session": True, **_user()}
        self._watcher = subprocess.Popen(
            ["/bin/sh", "-c", _WATCH, self._bin, folder],
            stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **self._how,
        )  # fmt: skip

    def create(self) -> None:
        """Make the cluster, and start the server."""
        options = [*_INITDB.split(), "--data-checksums", "--no-sync", "--pgdata=data"]
        if self._run("initdb", *options).wait() != 0:
            raise RuntimeError(f"initdb failed:\n{self._said()}")
        self.start()
        with self.connect() as conn:
            conn.execute(f"ALTER ROLE postgres PASSWORD '{PASSWORD}'")

    def start(self) -> None:
        """Start it, unless it runs, and wait until it answers."""
        if self.running:
            return
        own = {**_SETTINGS, **(_QUICK if self._quick else {})}
        given = {**own, "unix_socket_directories": str(self.folder), **self._given}
        if self.port is not None:
            given |= {"listen_addresses": "127.0.0.1", "port": str(self.port)}
        options = [f"--{name}={value}" for name, value in given.items()]
        self._process = self._run("postgres", "-D", "data", *options)
        end = time.monotonic() + LONG
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > end:
                self.kill()
                raise RuntimeError(f"PostgreSQL does not start:\n{self._said()}")
            time.sleep(0.02)

    @property
    def running(self) -> bool:
        """Whether it was started and has not ended since."""
        return self._process is not None and self._process.poll() is None

    def stop(self, mode: str = "fast") -> None:
        """Stop it, if it runs: ``smart``, ``fast``, or ``immediate``, which ends without a checkpoint."""
        signals = {"smart": signal.SIGTERM, "fast": signal.SIGINT, "immediate": signal.SIGQUIT}
        if self._process is not None:
            self._process.send_signal(signals[mode])
            self._process.wait(LONG)

    def kill(self) -> None:
        """Kill -9, the postmaster and all its children, and wait until they are gone."""
        if self._process is None or self._process.poll() is not None:
            return
        # One that stands still starts no others meanwhile.
        self._process.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, self._process.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)
        children = _children(self._process.pid)
        for pid in children:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self._process.kill()
        self._process.wait(LONG)
        while any(map(is_alive, children)):
            time.sleep(0.01)

    def settings(self, **values: object) -> None:
        """Restart it with these settings next to its own; with its own alone where none is given."""
        self.stop()
        self._given = {name: str(value) for name, value in values.items()}
        self.start()

    def restored(self) -> None:
        """Have it run with its own settings, whatever was done to it."""
        if self._given:
            self.settings()
        self.start()

    def address(
        self, schema: str | None = None, *, port: int | None = None, **parameters: str
    ) -> str:
        """Where a ledger is: a schema of it, and any other parameters of libpq.

        ``port`` is a proxy's, in place of its own.
        """
        given = {**parameters} if schema is None else {"schema": schema, **parameters}
        user, at = "postgres", f"127.0.0.1:{port or self.port}"
        if self.port is None:
            at, given = "", {"host": str(self.folder), **given}
        else:
            user += f":{quote(PASSWORD)}"
        query = urlencode(given, quote_via=quote, safe="/")
        return f"postgresql://{user}@{at}/postgres" + (f"?{query}" if query else "")

    def environment(self) -> dict[str, str]:
        """The variables by which clients find it where they are told nothing else."""
        at = {"PGHOST": str(self.folder), "PGPORT": str(self.port or _SETTINGS["port"])}
        return {**at, "PGUSER": "postgres", "PGPASSFILE": str(self.folder / "none")}

    @contextmanager
    def new_schema(self) -> Iterator[str]:
        """The name of a schema that is not there yet, and is dropped in the end."""
        self._schemas += 1
        name = f"ledger_{self._schemas}"
        try:
            yield name
        finally:
            self.restored()
            # Who left a transaction open is told so, rather than waited for.
            with self.connect(options="-c lock_timeout=10s") as conn:
                conn.execute(f"DROP SCHEMA IF EXISTS {name} CASCADE")

    def connect(self, **options: Any) -> psycopg.Connection[Any]:
        """A connection of the superuser through the socket, which commits each statement."""
        import psycopg

        where = {"host": str(self.folder), "port": self.port or _SETTINGS["port"]}
        named = {"user": "postgres", "dbname": "postgres", "autocommit": True}
        return psycopg.connect(**{**where, **named, **options})

    def backends(self) -> list[int]:
        """The processes that serve clients."""
        return [pid for (pid,) in self._of_backends("pid")]

    def terminate_backends(self) -> int:
        """End them all, and with them their clients' connections; returns how many there were."""
        return len(self._of_backends("pg_terminate_backend(pid)"))

    def _of_backends(self, what: str) -> list[tuple[Any, ...]]:
        others = "backend_type = 'client backend' AND pid <> pg_backend_pid()"
        with self.connect() as conn:
            return conn.execute(f"SELECT {what} FROM pg_stat_activity WHERE {others}").fetchall()

    def processes(self) -> list[int]:
        """The postmaster and its children, and the watcher of it."""
        own = [] if self._process is None else [self._process.pid, *_children(self._process.pid)]
        return [*own, self._watcher.pid]

    def cpu(self) -> float:
        """The seconds of processor time that its processes took since it was started."""
        own = [] if self._process is None else self.processes()[:-1]
        ticks = sum(_ticks(pid, ended=pid == own[0]) for pid in own)
        return ticks / os.sysconf("SC_CLK_TCK")

    def close(self) -> None:
        """End it."""
        if self._process is not None and (self.folder / "data/postmaster.pid").exists():
            # Only one that stops by itself gives its memory back to the system.
            self._given = {}
            self.start()
            self.stop("immediate")

    def remove(self) -> None:
        """Remove its folder."""
        self._watcher.communicate(b"\n", timeout=LONG)

    def _run(self, program: str, *words: str) -> subprocess.Popen[bytes]:
        """Start one of PostgreSQL's programs: its own environment, its output in the log."""
        assert self._bin is not None
        env = {"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"}
        with self.log.open("ab") as log:
            return subprocess.Popen(
                [self._bin / program, *words],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=env, **self._how,
            )  # fmt: skip

    def _said(self) -> str:
        """The end of its log."""
        return "\n".join(self.log.read_text().splitlines()[-40:])

    def _answers(self) -> bool:
        import psycopg

        try:
            self.connect().close()
        except psycopg.OperationalError:
            return False
        return True


def _stat(pid: int | str) -> list[str]:
    """What the system tells of a process, from its state and its parent on."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def _ticks(pid: int, *, ended: bool) -> int:
    """What a process took of the processor, and what its children did that have ended."""
    try:
        return sum(map(int, _stat(pid)[11 : 15 if ended else 13]))
    except OSError:
        return 0


def _children(parent: int) -> list[int]:
    """The processes that one has started; none where the system does not tell."""
    found = []
    for one in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if int(_stat(one.name)[1]) == parent:
                found.append(int(one.name))
    return found


def is_alive(pid: int) -> bool:
    """Whether a process is there and has not ended."""
    try:
        return _stat(pid)[0] not in "ZX"
    except OSError:
        return False


@contextmanager
def postgres_server(*, tcp: bool = False, quick: bool = False) -> Iterator[PostgresServer]:
    """A new server, on a socket in its folder, and on a free port of 127.0.0.1 too where asked for."""
    server = PostgresServer(_scratch(), free_port() if tcp else None, quick=quick)
    try:
        server.create()
        yield server
    finally:
        try:
            server.close()
        finally:
            server.remove()
