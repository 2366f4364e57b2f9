"""The errors of Postledger.

    PostledgerError
    ├── ReadError            a body (or one member of a bundle) can't be read
    ├── DefinitionError      a chart or vocabulary file is wrong: where, and how to fix it
    ├── LedgerError          the ledger can't do what was asked
    │   ├── LedgerBusy       others held the write lock for longer than the timeout
    │   ├── NotALedger       the file is not a ledger, or one of a newer format
    │   ├── DefinitionsDiffer  the ledger reads by other definitions than those given
    │   ├── SubscriptionFailed  a handler kept raising: the position, and its error as the cause
    │   ├── ProjectionFailed  a projection of the user's own raised: likewise
    │   └── IntegrityError   the log or a projection contradicts itself: position and reason
    ├── UnknownWord          the definitions have no such chart, state, route or finding
    └── UnknownKey           no such delivery or content, message of an outbox, or endpoint

Every message is one line that a user can act on.
"""

from __future__ import annotations

import sys
import typing


class PostledgerError(Exception):
    """The root of all errors that Postledger raises on purpose.

    >>> try:
    ...     ledger.delivery("nobody")
    ... except PostledgerError as error:
    ...     print(error)
    no delivery 'nobody' is known
    """


class ReadError(PostledgerError):
    """A body can't be read as a postback; the reason is the message.

    >>> from postledger.wire import read
    >>> read(b"")
    Traceback (most recent call last):
        ...
    postledger.errors.ReadError: the body is empty
    """


class DefinitionError(PostledgerError):
    """A chart or vocabulary is wrong; the message says where and what to write instead.

    ``faults`` has a line for each fault that was found; the message is the first of them.

    >>> from postledger.definitions.chart_toml import load_chart
    >>> load_chart("name = ", where="mine.toml")
    Traceback (most recent call last):
        ...
    postledger.errors.DefinitionError: mine.toml: not TOML: ...
    """

    @property
    def faults(self) -> tuple[str, ...]:
        """All that is wrong, one line each."""
        return self.args

    def __str__(self) -> str:
        return str(self.args[0])


class LedgerError(PostledgerError):
    """The ledger can't do what was asked.

    >>> with Ledger("specification.db", readonly=True) as reader:
    ...     reader.record(body)
    Traceback (most recent call last):
        ...
    postledger.errors.LedgerError: ...specification.db: opened for reading only
    """

    # Whether what events are read from is damaged or can't be read, rather than what one of them says.
    is_of_medium = False


class LedgerBusy(LedgerError):
    """Other processes or threads held the write lock beyond the timeout; nothing was written.

    >>> import sqlite3
    >>> other = sqlite3.connect("specification.db")
    >>> cursor = other.execute("BEGIN IMMEDIATE")
    >>> with Ledger("specification.db", timeout=0) as impatient:
    ...     impatient.record(body)
    Traceback (most recent call last):
        ...
    postledger.errors.LedgerBusy: ...specification.db: another process holds the write lock; nothing...
    >>> other.close()
    """


class NotALedger(LedgerError):
    """The file is not a ledger, or it was written by a newer format of Postledger.

    >>> Ledger("nowhere.db", readonly=True)
    Traceback (most recent call last):
        ...
    postledger.errors.NotALedger: ...nowhere.db: no such ledger
    """


class DefinitionsDiffer(LedgerError):
    """The ledger reads by other charts or vocabularies than those given.

    >>> from postledger.definitions.chart_toml import load_chart
    >>> source = ledger.definitions.charts["delivery"].source
    >>> other = load_chart(source.replace("version = 1", "version = 2", 1))
    >>> Ledger("specification.db", definitions=ledger.definitions.with_charts([other]))
    Traceback (most recent call last):
        ...
    postledger.errors.DefinitionsDiffer: ...specification.db: the ledger reads by delivery 1 (...), ...
    """


class SubscriptionFailed(LedgerError):
    """A subscription stopped: ``position`` is that of the change its handler could not take.

    It is ``None`` where no change is to blame.

    >>> ledger.subscribe("a", lambda change: 1 / 0, live=False, retry=Retry(times=0))
    Traceback (most recent call last):
        ...
    postledger.errors.SubscriptionFailed: subscription 'a' stopped at position 1: its handler ...
    """

    def __init__(self, message: str, *, position: int | None = None) -> None:
        super().__init__(message)
        self.position = position


class ProjectionFailed(LedgerError):
    """A projection of the user's own could not apply the event at ``position``.

    >>> class Wrong:
    ...     name, version, tables = "wrong", 1, {"wrong": "n INTEGER"}
    ...
    ...     def apply(self, change, db):
    ...         db.execute("DELETE FROM events")
    >>> ledger.project(Wrong())
    Traceback (most recent call last):
        ...
    postledger.errors.ProjectionFailed: projection 'wrong' can't apply the event at 0: ...
    """

    def __init__(self, message: str, *, position: int) -> None:
        super().__init__(message)
        self.position = position


class IntegrityError(LedgerError):
    """The log or a projection contradicts itself.

    >>> import sqlite3
    >>> Ledger("tampered.db").close()
    >>> other = sqlite3.connect("tampered.db")
    >>> cursor = other.execute("DROP TRIGGER events_no_update")
    >>> Ledger("tampered.db")
    Traceback (most recent call last):
        ...
    postledger.errors.IntegrityError: ...tampered.db: guard events_no_update is missing: events can be...
    >>> other.close()
    """


class UnknownWord(PostledgerError, ValueError):
    """The definitions have no such chart, state, route or finding.

    >>> ledger.deliveries(state="eaten")
    Traceback (most recent call last):
        ...
    postledger.errors.UnknownWord: unknown state 'eaten': expected created, accepted, ...
    """


class UnknownKey(PostledgerError, KeyError):
    """What a key names is not known: a TRACKINGID or MMSID, a message of an outbox, an endpoint.

    So is an id that several ``spaces`` have, where none of these is named.

    >>> ledger.content("nobody")
    Traceback (most recent call last):
        ...
    postledger.errors.UnknownKey: no content 'nobody' is known
    """

    @property
    def spaces(self) -> tuple[str, ...]:
        """The spaces that have the id, where there are several."""
        return tuple(self.args[1]) if len(self.args) > 1 else ()

    def __str__(self) -> str:
        return str(self.args[0])


_Error = typing.TypeVar("_Error", bound=LedgerError)


def of_medium(error: _Error) -> _Error:
    """The error, said to be of what events are read from, and not of what one of them says."""
    error.is_of_medium = True
    return error


def requires(what: str, package: str) -> PostledgerError:
    """The error that a package is missing, with the command that installs it."""
    return PostledgerError(f"{what}: {sys.executable} -m pip install {package}")
