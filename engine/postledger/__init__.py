"""Postledger: the state of every SMS and MMS delivery, derived from its postbacks."""

from importlib import metadata

from postledger.address import Address
from postledger.alerts.alert import Alert
from postledger.alerts.rules import Ratio, Rules, Silence, Stuck, Unreadable
from postledger.alerts.rules_toml import load_rules
from postledger.arguments import FilePath
from postledger.audit import AuditReport, Cover
from postledger.definitions import Definitions
from postledger.definitions.chart import Statechart
from postledger.definitions.vocabulary import Vocabulary
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
    UnknownWord,
)
from postledger.findings import Finding, Verdict
from postledger.invoices.invoice import Discrepancy, InvoiceRow, Reconciled
from postledger.invoices.totals import InvoiceSums, InvoiceTotals
from postledger.lake.writing import Archived
from postledger.ledger.aio import AsyncLedger, AsyncSubscription
from postledger.ledger.archive import Archive
from postledger.ledger.copying import Copied
from postledger.ledger.group import Pressure
from postledger.ledger.health import Health, OpenDeliveries
from postledger.ledger.ledger import Ledger, Then
from postledger.ledger.several import Ledgers
from postledger.ledger.subscriptions import Handler, Retry, Subscription
from postledger.ledger.writing import Appended
from postledger.model import (
    UNVERIFIED,
    Amount,
    Anchor,
    Body,
    Change,
    Content,
    Count,
    Delivery,
    Event,
    Kept,
    Place,
    Receipt,
    Recorded,
    StateChanged,
    Step,
    Summary,
    Tally,
    Timeline,
    Verification,
)
from postledger.postback import Postback
from postledger.progress import Progress
from postledger.projections.checkpoints import Checkpoint
from postledger.projections.compare import Difference
from postledger.projections.counts import CountBy
from postledger.projections.custom import Projection
from postledger.projections.queries import Query
from postledger.projections.tallies import TallyBy, TallyOf
from postledger.wire import Limits

__version__ = metadata.version("postledger")

__all__ = [
    "UNVERIFIED",
    "Address",
    "Alert",
    "Amount",
    "Anchor",
    "Appended",
    "Archive",
    "Archived",
    "AsyncLedger",
    "AsyncSubscription",
    "AuditReport",
    "Body",
    "Change",
    "Checkpoint",
    "Content",
    "Copied",
    "Count",
    "CountBy",
    "Cover",
    "DefinitionError",
    "Definitions",
    "DefinitionsDiffer",
    "Delivery",
    "Difference",
    "Discrepancy",
    "Event",
    "FilePath",
    "Finding",
    "Handler",
    "Health",
    "IntegrityError",
    "InvoiceRow",
    "InvoiceSums",
    "InvoiceTotals",
    "Kept",
    "Ledger",
    "LedgerBusy",
    "LedgerError",
    "Ledgers",
    "Limits",
    "NotALedger",
    "OpenDeliveries",
    "Place",
    "Postback",
    "PostledgerError",
    "Pressure",
    "Progress",
    "Projection",
    "ProjectionFailed",
    "Query",
    "Ratio",
    "ReadError",
    "Receipt",
    "Reconciled",
    "Recorded",
    "Retry",
    "Rules",
    "Silence",
    "StateChanged",
    "Statechart",
    "Step",
    "Stuck",
    "Subscription",
    "SubscriptionFailed",
    "Summary",
    "Tally",
    "TallyBy",
    "TallyOf",
    "Then",
    "Timeline",
    "UnknownKey",
    "UnknownWord",
    "Unreadable",
    "Verdict",
    "Verification",
    "Vocabulary",
    "__version__",
    "load_rules",
]
