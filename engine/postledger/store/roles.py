"""Roles: who owns a ledger on a server, who writes to it, and who only reads it.

The log stays its owner's, with the guards. Index and states become the writer's: it makes others, puts
them in their place, and drops the old ones. Whoever is a member of its role writes as that role.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing

from postledger.address import Address
from postledger.errors import LedgerError
from postledger.store.pool import quoted
from postledger.store.postgres import PostgresStore, open_store
from postledger.store.refusals import translated
from postledger.store.store import Store

_OWNED = (
    "SELECT relname, pg_get_userbyid(relowner) FROM pg_class"
    " WHERE relnamespace = current_schema()::regnamespace AND relkind IN ('r', 'v')"
)
_MIGHTY = "SELECT rolsuper OR pg_has_role(rolname, ?, 'MEMBER') FROM pg_roles WHERE rolname = ?"


def grant(
    address: Address,
    log: Sequence[str],
    head: str,
    *,
    writer: str | None = None,
    readers: Sequence[str] = (),
) -> None:
    """Let a role write to a ledger, and others read it, as its owner; what they have they keep.

    ``log`` are the tables and views of the log, of which ``head`` is the one that writers update.
    Raises ``LedgerError`` where the writer could alter what was written, or the server refuses.
    """
    with (
        translated(address),
        closing(open_store(address, _nothing, timeout=60.0, readonly=True)) as store,
        store.write(),
    ):
        owners = {str(name): str(owner) for name, owner in store.execute(_OWNED).fetchall()}
        derived = {name: owner for name, owner in owners.items() if name not in log}
        # All that is derived has one owner, who may put it away.
        before, owner = owners["generations"], owners[head]
        _require_owner(store, owner)
        if writer is not None:
            _require_weak(store, writer, owner, before)
        for sql in _statements(
            address.schema, log, head, derived, writer or before, writer, readers
        ):
            store.execute(sql)


def _nothing(_: Store) -> None:
    """Nothing is made: it is opened for reading."""


def _require_owner(store: PostgresStore, owner: str) -> None:
    """Raise ``LedgerError`` for anybody else: what others grant a server leaves out, and says nothing."""
    me, is_owner = store.one("SELECT current_user, pg_has_role(?, 'MEMBER')", (owner,)) or (
        "",
        False,
    )
    if not is_owner:
        raise LedgerError(
            f"{store.path}: only the owner {owner!r} can grant roles, got {str(me)!r}"
        )


def _require_weak(store: PostgresStore, writer: str, owner: str, before: str) -> None:
    """Raise ``LedgerError`` unless a role can be the writer."""
    row = store.one(_MIGHTY, (owner, writer))
    if row is None:
        raise LedgerError(f"{store.path}: role {writer!r} does not exist")
    if row[0]:
        raise LedgerError(
            f"{store.path}: the writer must be a role without the rights of the owner {owner!r},"
            f" got {writer!r}: it could drop the guards"
        )
    if before not in (owner, writer):
        raise LedgerError(
            f"{store.path}: the writer is {before!r}: make other roles its members, got {writer!r}"
        )


def _statements(
    schema: str,
    log: Sequence[str],
    head: str,
    derived: dict[str, str],
    maker: str,
    writer: str | None,
    readers: Sequence[str],
) -> Iterator[str]:
    """What is granted, by the owner of the log and then as the role whose all that is derived is."""
    place, tables, also = quoted(schema), ", ".join(log), ", ".join(derived)
    if writer is not None:
        role = quoted(writer)
        yield f"GRANT USAGE, CREATE ON SCHEMA {place} TO {role}"
        yield f"GRANT SELECT, INSERT ON {tables} TO {role}"
        yield f"GRANT UPDATE ON {head} TO {role}"
        for name, owner in derived.items():
            if owner != writer:
                yield f"ALTER TABLE {name} OWNER TO {role}"
    for role in map(quoted, readers):
        yield f"GRANT USAGE ON SCHEMA {place} TO {role}"
        yield f"GRANT SELECT ON {tables} TO {role}"
    yield f"SET LOCAL ROLE {quoted(maker)}"
    for role in map(quoted, readers):
        yield f"GRANT SELECT ON {also} TO {role}"
        # Of what replays make from now on.
        yield f"ALTER DEFAULT PRIVILEGES IN SCHEMA {place} GRANT SELECT ON TABLES TO {role}"
