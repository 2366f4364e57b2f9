"""What definitions mean in a ledger: the words of the specification lead to states and reasons."""

from __future__ import annotations

from itertools import permutations
from pathlib import Path

import pytest

from postledger import Ledger
from postledger.definitions import builtin, from_sources
from postledger.errors import DefinitionsDiffer
from tests.definitions.samples import CHART, SPECIFIED, WORDS


@pytest.mark.parametrize("case", SPECIFIED, ids=lambda c: f"{c[0]} {c[2]} {c[5]}")
def test_specification(case: tuple[str | None, ...], tmp_path: Path) -> None:
    """Every STATUS that the specification allows for a code says its trigger and leads to its state."""
    _, origin, code, sent_as, details, status, trigger, state, route = case
    leaves = {
        "ORIGIN": origin,
        "CODE": code,
        "SENTAS": sent_as,
        "STATUS": status,
        "MMSID": "39755" if origin == "MMS_MT" else None,
        "TO": "16503333058",
        "TRACKINGID": "TU1TXzE=",
        "SPID": "0001470",
        "TIMESTAMP": "2012-06-07T07:27:29-05:00",
        "HANDSET": "motol7c" if code == "N102" else None,
        "AGGREGATORID": "11529-64807" if code in ("N102", "N202") else None,
        "STATUSDETAILS": details,
    }
    body = "".join(f"<{name}>{text}</{name}>" for name, text in leaves.items() if text)
    with Ledger(tmp_path / "test.db") as ledger:
        recorded = ledger.record(f"<POSTBACK>{body}</POSTBACK>".encode())
        (step,) = ledger.timeline("TU1TXzE=")
    assert recorded.delivery is not None
    assert (step.trigger, step.verdict, step.missing) == (trigger, "applied", ())
    assert (recorded.delivery.state, recorded.delivery.route) == (state, route)
    wants_reason = state in ("failed", "expired", "rejected") or route == "degraded"
    assert recorded.delivery.reason == (details if wants_reason else None)


@pytest.mark.parametrize(
    ("code", "name", "text", "trigger"),
    [
        ("N003", None, None, "saved"),
        ("E002", "AUDIONAME", "sample.mp3", "audio_failed"),
        ("E002", "VIDEONAME", "sample.3gp", "video_failed"),
    ],
)
def test_specification_of_content(
    ledger: Ledger, code: str, name: str | None, text: str | None, trigger: str
) -> None:
    """A save, and a failure to encode with what failed, belong to the MMSID."""
    leaf = f"<{name}>{text}</{name}>" if name else ""
    ledger.record(
        f"<POSTBACK><ORIGIN>MMS_MT</ORIGIN><CODE>{code}</CODE><MMSID>35674</MMSID>{leaf}"
        "</POSTBACK>".encode()
    )
    (step,) = ledger.timeline("35674", chart="content")
    content = ledger.content("35674")
    assert (step.trigger, step.findings) == (trigger, ())
    assert content.state == ("failed" if text else "saved")
    assert content.failures == ((text,) if text else ())


@pytest.mark.parametrize(
    ("sent", "receipt"),
    list(permutations(("sent_sms", "sent_binary", "sent_xhtml"), 2)),
)
def test_wrong_route(sent: str, receipt: str, ledger: Ledger) -> None:
    """A receipt of another route gives its outcome, keeps the route, and is a finding."""
    sendings = {
        "sent_sms": ("SMS_MT", "N201", None),
        "sent_binary": ("MMS_MT", "N101", "MMS"),
        "sent_xhtml": ("MMS_MT", "N101", "SMS"),
    }
    receipts = {
        "sent_sms": ("SMS_MT", "N202", None),
        "sent_binary": ("MMS_MT", "N102", "MMS"),
        "sent_xhtml": ("MMS_MT", "N202", "SMS"),
    }
    bodies = []
    for (origin, code, sent_as), status in (
        (sendings[sent], "Message Sent"),
        (receipts[receipt], "Message Sent/Delivered"),
    ):
        leaf = f"<SENTAS>{sent_as}</SENTAS>" if sent_as else ""
        bodies.append(
            f"<POSTBACK><ORIGIN>{origin}</ORIGIN><CODE>{code}</CODE>{leaf}<STATUS>{status}</STATUS>"
            f"<TO>1</TO><TRACKINGID>k</TRACKINGID></POSTBACK>".encode()
        )
    ledger.record_many(bodies)
    delivery = ledger.delivery("k")
    assert delivery.state == "delivered"
    assert (
        delivery.route == {"sent_sms": "sms", "sent_binary": "binary", "sent_xhtml": "xhtml"}[sent]
    )
    assert "wrong_route" in delivery.findings
    assert "contradiction" not in delivery.findings


def test_missing_nodes(ledger: Ledger) -> None:
    """A breach of the node list is reported node by node and changes nothing else."""
    ledger.record(
        b"<POSTBACK><ORIGIN>SMS_MT</ORIGIN><CODE>N202</CODE><STATUS>Message Sent/Delivered</STATUS>"
        b"<TRACKINGID>k</TRACKINGID></POSTBACK>"
    )
    (step,) = ledger.timeline("k")
    assert step.missing == ("to", "spid", "timestamp", "aggregator_id")
    assert ledger.delivery("k").state == "delivered"


def test_ledger_by_own_definitions(tmp_path: Path) -> None:
    """A ledger folds by the definitions it is given, keeps them, and refuses others."""
    path = tmp_path / "parcels.db"
    with Ledger(path, definitions=from_sources([("chart", CHART), ("words", WORDS)])) as ledger:
        ledger.record(b"<PARCEL><CODE>P1</CODE><WORD>posted</WORD><NUMBER>007</NUMBER></PARCEL>")
        (step,) = ledger.timeline("007", chart="parcel")
        assert (step.trigger, step.after) == ("posted", {"parcel": "posted"})
    with Ledger(path) as ledger:
        assert list(ledger.definitions.charts) == ["parcel"]
        assert ledger.verify().ok
    with pytest.raises(DefinitionsDiffer):
        Ledger(path, definitions=builtin())
