"""Postledger: the state of every SMS and MMS delivery, derived from its postbacks."""

from postledger.audit import AuditReport
from postledger.definitions.definitions import Definitions
from postledger.errors import (
    DefinitionError,
    DefinitionsDiffer,
    IntegrityError,
    LedgerBusy,
    LedgerError,
    NotALedger,
    PostledgerError,
    ProjectionFailed,
    ReadError,
    SubscriptionFailed,
    UnknownKey,
)
from postledger.ledger.aio import AsyncLedger, AsyncSubscription
from postledger.ledger.ledger import Ledger
from postledger.ledger.subscriptions import Retry, Subscription
from postledger.model import (
    Change,
    Content,
    Delivery,
    Event,
    Receipt,
    Recorded,
    StateChanged,
    Step,
    Summary,
    Timeline,
    Verification,
)
from postledger.postback import Postback
from postledger.projections.checkpoints import Checkpoint
from postledger.projections.custom import Projection
from postledger.projections.queries import Query
from postledger.verify import Anchor
from postledger.wire import Limits

__all__ = [
    "Anchor",
    "AsyncLedger",
    "AsyncSubscription",
    "AuditReport",
    "Change",
    "Checkpoint",
    "Content",
    "DefinitionError",
    "Definitions",
    "DefinitionsDiffer",
    "Delivery",
    "Event",
    "IntegrityError",
    "Ledger",
    "LedgerBusy",
    "LedgerError",
    "Limits",
    "NotALedger",
    "Postback",
    "PostledgerError",
    "Projection",
    "ProjectionFailed",
    "Query",
    "ReadError",
    "Receipt",
    "Recorded",
    "Retry",
    "StateChanged",
    "Step",
    "Subscription",
    "SubscriptionFailed",
    "Summary",
    "Timeline",
    "UnknownKey",
    "Verification",
]
