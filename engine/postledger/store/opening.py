"""Opening: a ledger's tables by their location, and what errors mean there."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any

from postledger.address import Address, Location
from postledger.errors import LedgerError, requires
from postledger.store import sqlite
from postledger.store.store import Opened, Store


def open_store(
    path: Location,
    make: Callable[[Store], None],
    *,
    timeout: float,
    readonly: bool = False,
    traceless: bool = False,
    file: Opened = None,
) -> Store:
    """Open a ledger's tables, made by ``make`` where they are missing (unless ``readonly``).

    ``file`` is that of a store that is open already: then nothing else is made or opened. ``timeout`` is
    how many seconds a write waits for another's write to end. ``traceless``, for a glance by a
    ``readonly`` store, leaves no file next to a ledger: what is written meanwhile may make it fail.
    Raises ``NotALedger``, ``LedgerBusy``, ``IntegrityError`` or ``LedgerError``.
    """
    if isinstance(path, Address):
        opened: Store = _postgres().open_store(
            path, make, timeout=timeout, readonly=readonly, server=file
        )
        return opened
    return sqlite.open_store(
        path, make, timeout=timeout, readonly=readonly, traceless=traceless, file=file
    )


def exists(path: Location) -> bool:
    """Whether a ledger is there, or anything else in its place."""
    if isinstance(path, Address):
        there: bool = _postgres().exists(path)
        return there
    return path.exists()


def grant(
    address: Address,
    log: Sequence[str],
    head: str,
    *,
    writer: str | None,
    readers: Sequence[str],
) -> None:
    """Let roles of a server write to a ledger there, or read it; see ``roles.grant``."""
    _postgres()
    from postledger.store import roles

    roles.grant(address, log, head, writer=writer, readers=readers)


def require_there(path: Location, file: Opened) -> None:
    """Raise ``LedgerError`` where what was opened is not there any more: it can still be read."""
    if not isinstance(path, Address):
        sqlite.require_identity(path, file)


def listen(path: Location, file: Opened, ring: Callable[[], object]) -> Any:
    """Call ``ring`` after each write by another process, as far as a server tells; ``close`` ends it.

    ``None`` for a file, which tells nobody.
    """
    return file.listen(ring) if isinstance(path, Address) else None


def translated(path: Location) -> AbstractContextManager[None]:
    """Turn what a store raises into errors that say what it means for the ledger."""
    if isinstance(path, Address):
        meaning: AbstractContextManager[None] = _postgres().translated(path)
        return meaning
    return sqlite.translated(path)


def is_of_medium(error: BaseException) -> bool:
    """Whether the disk or the server failed, is full or is locked: nothing just written can be relied on.

    Such an error fails the whole transaction, wherever it shows.
    """
    # guard: a damaged archive is no state of its streams
    if _is_of_archive(error):
        return True
    # psycopg's errors come only where it was loaded.
    refusals = sys.modules.get("postledger.store.refusals")
    return sqlite.is_of_medium(error) or (refusals is not None and refusals.is_of_medium(error))


def _is_of_archive(error: BaseException | None) -> bool:
    """Whether a file of an archive is damaged or can't be read, or that is the cause."""
    while error is not None:
        if isinstance(error, LedgerError) and error.is_of_medium:
            return True
        error = error.__cause__
    return False


def is_of_disk(error: BaseException) -> bool:
    """Whether the disk failed: a connection that met it may take for written what is not."""
    return sqlite.is_of_disk(error)


def _postgres() -> Any:
    try:
        from postledger.store import postgres
    except ImportError:
        raise requires("a ledger on a server requires psycopg", "'psycopg[binary]'") from None
    return postgres
