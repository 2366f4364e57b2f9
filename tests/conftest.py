"""What the tests share."""

from __future__ import annotations

import sqlite3
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from hypothesis import settings

from postledger import Ledger, Receipt
from postledger.store.sqlite import SqliteStore
from tests.postgres_server import PostgresServer, missing, postgres_server
from tests.proxy import Proxy, proxy_of
from tests.stores import on_server, stores_of, with_few_examples

# Machines are noisy: how long an example takes says nothing.
settings.register_profile("noisy", deadline=None)
settings.load_profile("noisy")

FIXTURES = Path(__file__).parent.parent / "fixtures"


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """What must hold on both stores runs on each."""
    stores = stores_of(metafunc.definition)
    if stores is not None:
        metafunc.parametrize("_store", stores, indirect=True)


@pytest.fixture(autouse=True)
def _store(request: pytest.FixtureRequest) -> Iterator[None]:
    """Where ledgers stand: in files, or where a test runs on both stores on a server too."""
    if getattr(request, "param", "file") == "file":
        yield
    else:
        with (
            on_server(request.getfixturevalue("quick_postgres")),
            with_few_examples(request.function),
        ):
            yield


@pytest.fixture(scope="module", autouse=True)
def _all_is_closed() -> Iterator[None]:
    """No thread of a ledger outlives a module's tests: others would count it, and wait for its end."""
    yield
    left = [one for one in threading.enumerate() if one.name.startswith("postledger")]
    for one in left:
        # One that was told to end may still be on its way out, where the machine is busy.
        one.join(10)
    assert [one.name for one in left if one.is_alive()] == []


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    """An empty ledger."""
    with Ledger(tmp_path / "test.db") as opened:
        yield opened


@pytest.fixture
def specification() -> list[bytes]:
    """The 11 samples of the specification, in document order."""
    return [path.read_bytes() for path in sorted((FIXTURES / "specification").glob("*.xml"))]


@pytest.fixture
def filled(tmp_path: Path, specification: list[bytes]) -> Path:
    """A ledger of the samples, named ``a.db``."""
    with Ledger(tmp_path / "a.db") as ledger:
        ledger.record_many(specification)
    return ledger.path


def _session_of(*, tcp: bool = False, quick: bool = False) -> Iterator[PostgresServer]:
    if (lacking := missing()) is not None:
        pytest.skip(lacking)
    with postgres_server(tcp=tcp, quick=quick) as server:
        yield server


@pytest.fixture(scope="session")
def _postgres() -> Iterator[PostgresServer]:
    yield from _session_of()


@pytest.fixture(scope="session")
def _postgres_tcp() -> Iterator[PostgresServer]:
    yield from _session_of(tcp=True)


@pytest.fixture(scope="session")
def quick_postgres() -> Iterator[PostgresServer]:
    """One that may lose what it acknowledged, for tests that ask for nothing else."""
    yield from _session_of(quick=True)


@pytest.fixture
def postgres(_postgres: PostgresServer) -> Iterator[PostgresServer]:
    """A PostgreSQL on a socket, the same for all tests: it runs before and after each."""
    yield _postgres
    _postgres.restored()


@pytest.fixture
def postgres_tcp(_postgres_tcp: PostgresServer) -> Iterator[PostgresServer]:
    """Another one that listens on TCP too, and asks for a password there."""
    yield _postgres_tcp
    _postgres_tcp.restored()


@pytest.fixture
def postgres_address(postgres: PostgresServer) -> Iterator[str]:
    """The address of a schema that is not there yet, and is dropped when the test ends."""
    with postgres.new_schema() as schema:
        yield postgres.address(schema)


@pytest.fixture
def postgres_proxy(postgres_tcp: PostgresServer) -> Iterator[Proxy]:
    """A proxy in front of that one: ``postgres_tcp.address(schema, port=postgres_proxy.port)``."""
    assert postgres_tcp.port is not None
    with proxy_of(postgres_tcp.port) as proxy:
        yield proxy


@contextmanager
def ledger_of(receipts: Iterable[Receipt | bytes]) -> Iterator[Ledger]:
    """A ledger of its own folder, with some receipts in it."""
    with tempfile.TemporaryDirectory() as folder, Ledger(Path(folder) / "test.db") as opened:
        opened.record_many(receipts)
        yield opened


def steps_of(store: SqliteStore, work: Callable[[], object]) -> int:
    """How many steps SQLite takes for that, in hundreds: what it reads, on any machine."""
    steps = 0

    def count() -> int:
        nonlocal steps
        steps += 1
        return 0

    store.conn.set_progress_handler(count, 100)
    try:
        work()
    finally:
        store.conn.set_progress_handler(None, 0)
    return steps


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., object]:
    """The command line in this process."""
    from click.testing import CliRunner

    from postledger.cli import main

    def invoke(*words: object, stdin: bytes | None = None) -> object:
        return CliRunner().invoke(main, [str(word) for word in words], input=stdin)

    return invoke


def lose_rows(path: Path, index: str) -> None:
    """Empty an index on derived tables, which says of itself that it is as it was made."""
    with closing(sqlite3.connect(path)) as db:
        (made,) = db.execute("SELECT sql FROM sqlite_master WHERE name = ?", (index,)).fetchone()
        table = index.rpartition("_")[0]
        db.execute(f"DROP INDEX {index}")
        db.execute(f"CREATE INDEX {index} ON {table} (findings) WHERE findings < 0")
        db.execute("PRAGMA writable_schema=ON")
        db.execute("UPDATE sqlite_master SET sql = ? WHERE name = ?", (made, index))
        db.commit()
