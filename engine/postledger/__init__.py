"""Postledger: the state of every SMS and MMS delivery, derived from its postbacks."""

from postledger.definitions import Definitions
from postledger.errors import (
    DefinitionError,
    DefinitionsDiffer,
    IntegrityError,
    LedgerBusy,
    LedgerError,
    NotALedger,
    PostledgerError,
    ReadError,
    UnknownKey,
)
from postledger.ledger import Ledger
from postledger.model import (
    Content,
    Delivery,
    Event,
    Receipt,
    Recorded,
    Step,
    Summary,
    Timeline,
    Verification,
)
from postledger.postback import Postback
from postledger.queries import Query
from postledger.verify import Anchor
from postledger.wire import Limits

__all__ = [
    "Anchor",
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
    "Query",
    "ReadError",
    "Receipt",
    "Recorded",
    "Step",
    "Summary",
    "Timeline",
    "UnknownKey",
    "Verification",
]
