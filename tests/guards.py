"""The guards of a ledger in a file, for tests that take them away."""

from postledger.log import schema
from postledger.store.sqlite import SqliteStore


def guards() -> dict[str, str]:
    """Name to SQL."""
    return schema.guards(SqliteStore)
