"""Both stores: the tests of a module with ``pytestmark = both_stores`` run on files and on a server.

On the server each path of a file stands for a schema of its own: the tests open ledgers as they do in
files. A test that looks into the file itself says so by ``in_file``.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from typing import Any

import pytest

from postledger.address import Address, Location
from postledger.cli import params
from postledger.ledger import aio, ledger
from tests.postgres_server import PostgresServer

both_stores = pytest.mark.both_stores
in_file = pytest.mark.in_file


@contextmanager
def on_server(server: PostgresServer) -> Iterator[None]:
    """Ledgers at paths stand in schemas, which are dropped in the end."""
    made: set[str] = set()
    real = ledger.require_openable

    def placed(path: Any, **how: Any) -> Location:
        location = real(path, **how)
        if isinstance(location, Address):
            return location
        schema = f"t_{sha256(str(location).encode()).hexdigest()[:24]}"
        made.add(schema)
        return Address.parse(server.address(schema))

    with pytest.MonkeyPatch.context() as patch:
        for module in (ledger, aio, params):
            patch.setattr(module, "require_openable", placed)
        try:
            yield
        finally:
            with server.connect(options="-c lock_timeout=10s") as conn:
                for schema in sorted(made):
                    conn.execute(f"DROP SCHEMA IF EXISTS {schema} CASCADE")


def stores_of(marks: pytest.Item | Any) -> list[str] | None:
    """On which stores a test runs, where its module says that it runs on both."""
    if marks.get_closest_marker("both_stores") is None:
        return None
    return ["file"] if marks.get_closest_marker("in_file") else ["file", "server"]
