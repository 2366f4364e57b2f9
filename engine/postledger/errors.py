"""The errors of Postledger.

    PostledgerError
    ├── ReadError            a body (or one member of a bundle) can't be read
    ├── DefinitionError      a chart or vocabulary file is wrong: where, and how to mend it
    ├── LedgerError          the ledger can't do what was asked
    │   ├── LedgerBusy       another process held the write lock for longer than the timeout
    │   ├── NotALedger       the file is no ledger, or a ledger of a newer format
    │   ├── DefinitionsDiffer  the ledger folds by other charts than the ones given
    │   ├── SubscriptionFailed  a handler went on raising: the position, and its own error as cause
    │   ├── ProjectionFailed  a projection of the user raised: likewise
    │   └── IntegrityError   the log or a projection contradicts itself: position and reason
    └── UnknownKey           no event of that TRACKINGID or MMSID is known

Every message is one line that a user can act on.
"""

from __future__ import annotations


class PostledgerError(Exception):
    """The root of all errors that Postledger raises on purpose."""


class ReadError(PostledgerError):
    """A body can't be read as a postback; the reason is the message."""


class DefinitionError(PostledgerError):
    """A chart or vocabulary is wrong; the message says where and what to write instead.

    ``faults`` has a line for each fault that was found; the message is the first of them.
    """

    @property
    def faults(self) -> tuple[str, ...]:
        """All that is wrong, one line each."""
        return self.args

    def __str__(self) -> str:
        return str(self.args[0])


class LedgerError(PostledgerError):
    """The ledger can't do what was asked."""


class LedgerBusy(LedgerError):
    """Another process held the write lock for longer than the timeout; nothing was written."""


class NotALedger(LedgerError):
    """The file is not a ledger, or it was written by a newer format of Postledger."""


class DefinitionsDiffer(LedgerError):
    """The ledger folds by other charts or vocabularies than the ones given."""


class SubscriptionFailed(LedgerError):
    """A subscription stopped: ``position`` is that of the change its handler could not take.

    ``None`` stands for a stop that no change is to blame for.
    """

    def __init__(self, message: str, *, position: int | None = None) -> None:
        super().__init__(message)
        self.position = position


class ProjectionFailed(LedgerError):
    """A projection of the user's own could not apply the event at ``position``."""

    def __init__(self, message: str, *, position: int) -> None:
        super().__init__(message)
        self.position = position


class IntegrityError(LedgerError):
    """The log or a projection contradicts itself."""


class UnknownKey(PostledgerError, KeyError):
    """No event of that TRACKINGID or MMSID is known."""

    def __str__(self) -> str:
        return str(self.args[0])
