"""The sheet: the console serves the one that reports and dossiers wear."""

from __future__ import annotations

from pathlib import Path

import postledger
from postledger import Ledger
from tests.console import visitor
from tests.samples import sent

SHEET = (Path(postledger.__file__).parent / "sheet" / "postledger.css").read_text("utf-8")


def test_documents_and_console_wear_one_sheet(ledger: Ledger) -> None:
    """The console's pages ask for what stands in each report, byte for byte."""
    ledger.record(sent("one"))
    visited = visitor(ledger)
    assert "/static/postledger.css" in visited.page("/")
    assert visited.get("/static/postledger.css").text == SHEET
    assert visited.get("/static/console.css").status_code == 200
    for report in (ledger.audit(), ledger.audit(tracking_id="one")):
        assert SHEET in report.to_html()
