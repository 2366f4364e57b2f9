"""The state audit report: what became of the deliveries of a period, or of one, with the proof.

The classes are the fields of a report: import them to annotate what reads one.
"""

from postledger.audit.argument import Argument, Part, Question
from postledger.audit.dossier import Dossier, Exhibit, Proof
from postledger.audit.durations import Aged, Bin, Durations, Percentiles
from postledger.audit.events import Events, Kinds, Missing, Unread
from postledger.audit.figures import Figures, Other, Sum, Sums
from postledger.audit.findings import At, Found, Listed
from postledger.audit.integrity import Definition, Integrity
from postledger.audit.outcomes import Before, Breakdown, Group, Outcomes, Reason, Reasons
from postledger.audit.pairs import Contradictions, Pair, Side, Upheld
from postledger.audit.report import AuditReport, Cover, Included
from postledger.audit.request import Request
from postledger.log.verifications import Verified

__all__ = [
    "Aged",
    "Argument",
    "At",
    "AuditReport",
    "Before",
    "Bin",
    "Breakdown",
    "Contradictions",
    "Cover",
    "Definition",
    "Dossier",
    "Durations",
    "Events",
    "Exhibit",
    "Figures",
    "Found",
    "Group",
    "Included",
    "Integrity",
    "Kinds",
    "Listed",
    "Missing",
    "Other",
    "Outcomes",
    "Pair",
    "Part",
    "Percentiles",
    "Proof",
    "Question",
    "Reason",
    "Reasons",
    "Request",
    "Side",
    "Sum",
    "Sums",
    "Unread",
    "Upheld",
    "Verified",
]
