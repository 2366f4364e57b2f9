"""A chart of one's own: the report takes its words from the chart."""

from __future__ import annotations

import tempfile
from pathlib import Path

from postledger import Ledger
from postledger.definitions.definitions import from_sources
from tests.audit.pages import of_html, of_markdown

CHART = """
name = "delivery"
version = 3
title = "What became of one call"
policy = "The last word stands."
stages = ["said"]
[triggers]
ring = { stage = "said" }
answer = { stage = "said" }
drop = { stage = "said" }
again = { stage = "said" }
[[states]]
name = "call"
initial = "queued"
children = [
    { name = "queued" },
    { name = "ringing" },
    { name = "answered", final = true },
    { name = "dropped", final = true, explained = true },
]
transitions = [
    { trigger = "ring", source = ["queued", "ringing"], dest = "ringing" },
    { trigger = "answer", source = "ringing", dest = "answered" },
    { trigger = "drop", source = ["queued", "ringing"], dest = "dropped" },
    { trigger = "again", source = ["ringing", "dropped"], dest = "queued" },
]
"""
VOCABULARY = """
name = "calls"
version = 1
title = "Calls"
roots = ["CALL"]
[fields]
code = "WHAT"
to = "TO"
tracking_id = "ID"
why = "WHY"
[[postbacks]]
section = "Call"
match = { code = ["ring", "answer", "drop", "again"] }
chart = "delivery"
key = "tracking_id"
requires = ["to"]
undated = true
reason = ["why"]
means = [
    { code = "ring", trigger = "ring" },
    { code = "answer", trigger = "answer" },
    { code = "drop", trigger = "drop" },
    { code = "again", trigger = "again" },
]
"""


def call(key: str, what: str, why: str = "") -> bytes:
    """One postback of a call."""
    reason = f"<WHY>{why}</WHY>" if why else ""
    return f"<CALL><ID>{key}</ID><WHAT>{what}</WHAT>{reason}</CALL>".encode()


def test_report_speaks_the_words_of_the_chart() -> None:
    """States, successes and reasons are those that the chart marks; there need be no route."""
    definitions = from_sources([("chart", CHART), ("vocabulary", VOCABULARY)])
    with (
        tempfile.TemporaryDirectory() as folder,
        Ledger(Path(folder) / "calls.db", definitions=definitions) as ledger,
    ):
        ledger.record_many([call("A", "ring"), call("B", "drop", "busy"), call("C", "what")])
        report = ledger.audit(unmask=True)
        page, dossier = report.to_html(), ledger.audit(tracking_id="A").to_html()
    tables = of_html(page)
    assert [row[0] for row in tables["Deliveries by state"]] == [
        "State", "queued", "ringing", "answered", "dropped", "All",
    ]  # fmt: skip
    assert tables["Deliveries by route and state"][0][2] == "answered, share"
    assert [row[0] for row in tables["Deliveries by route and state"][1:]] == ["not known"]
    assert tables["Reasons of outcomes other than answered"][1] == [
        "busy",
        "dropped",
        "1",
        "100.0%",
    ]
    missing = "Missing fields, by field and section of the specification"
    assert tables[missing][1] == ["TO", "Call", "2", "1"]
    assert tables["Unrecognised events, by code"][1][:3] == ["what", "–", "1"]
    assert report.figures is not None
    assert report.figures.outcomes.open == {"queued", "ringing"}
    assert "It starts in queued. Event 1 moves it from queued to ringing." in dossier
    markdown = of_markdown(report.to_markdown())
    assert markdown["Deliveries by state"] == tables["Deliveries by state"]
