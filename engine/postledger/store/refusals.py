"""Refusals: what an error of PostgreSQL means for a ledger."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from psycopg import errors

from postledger.address import Address
from postledger.errors import IntegrityError, LedgerBusy, LedgerError
from postledger.store.store import Lost


def line(error: BaseException) -> str:
    """What an error says, in one line."""
    diag = getattr(error, "diag", None)
    said = (diag and diag.message_primary) or str(error)
    return " ".join(str(said).split())


def is_of_medium(error: BaseException) -> bool:
    """Whether the server or the connection failed, or is locked: not a statement that is wrong."""
    if isinstance(error, errors.ProgramLimitExceeded | errors.StatementTooComplex):
        # That is of what was written.
        return False
    return isinstance(
        error, psycopg.OperationalError | errors.IdleInTransactionSessionTimeout | Lost
    )


@contextmanager
def translated(address: Address) -> Iterator[None]:
    """Turn what psycopg raises into errors that say what it means for the ledger."""
    try:
        yield
    except IntegrityError as error:
        if str(address) not in str(error):
            error.args = (f"{address}: {error}",)
        raise
    except psycopg.Error as error:
        raise _meaning(address, error) from error
    except UnicodeEncodeError as error:
        raise LedgerError(
            f"{address}: half a character (a lone surrogate) can be neither stored nor looked up"
        ) from error


def is_away(error: psycopg.Error) -> bool:
    """Whether the server, or the connection to it, is gone, or takes nobody now.

    The codes are of PostgreSQL's appendix A.
    """
    code = error.sqlstate
    away = code is None or code[:2] == "08" or code[:3] == "57P" or code == "53300"
    return isinstance(error, psycopg.OperationalError) and away


def _meaning(address: Address, error: psycopg.Error) -> LedgerError:
    said = address.without_secrets(line(error))
    if isinstance(error, errors.LockNotAvailable | errors.DeadlockDetected):
        return LedgerBusy(f"{address}: another process holds the write lock; nothing was written")
    if isinstance(error, errors.DiskFull):
        return LedgerError(f"{address}: the server's disk is full; nothing was written")
    if isinstance(error, errors.InsufficientPrivilege):
        return LedgerError(f"{address}: the role may not do this: {said}")
    if isinstance(error, errors.DataCorrupted | errors.IndexCorrupted):
        return IntegrityError(f"{address}: the database is damaged: {said}; run verify")
    if isinstance(error, errors.ReadOnlySqlTransaction):
        return LedgerError(
            f"{address}: the server is read-only (is it a standby?); nothing was written"
        )
    if is_away(error):
        return Lost(f"{address}: can't be reached: {said}")
    return LedgerError(f"{address}: {said}")
