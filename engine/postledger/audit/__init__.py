"""The state audit report: what became of the deliveries of a period, or of one, with the proof."""

from postledger.audit.render import picture
from postledger.audit.report import AuditReport, of_delivery, of_period
from postledger.audit.request import CHART, Request

__all__ = ["CHART", "AuditReport", "Request", "of_delivery", "of_period", "picture"]
