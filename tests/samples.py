"""Messages and definitions that many tests tell of."""

from __future__ import annotations

import re
from pathlib import Path

from postledger.definitions.chart_toml import load_chart
from postledger.definitions.definitions import Definitions, builtin
from tests.strategies import body

SMS, BINARY, DEGRADED = "U01TXzgwNjc4", "TU1TXzU5Nzg3OQ==", "TU1TXzU5Nzg3Nw=="
"""The deliveries of the specification's samples."""


def sent(key: str, **fields: str | None) -> bytes:
    """An N201 of a message."""
    said = {"ORIGIN": "SMS_MT", "CODE": "N201", "STATUS": "Message Sent", "TO": "1650"}
    said |= {"TRACKINGID": key, "SPID": "0001470", "TIMESTAMP": "2013-11-05T05:41:08Z"}
    return body(*{**said, **fields}.items())


def delivered(key: str, **fields: str | None) -> bytes:
    """An N202 of a message."""
    said = {"CODE": "N202", "STATUS": "Message Sent/Delivered", "AGGREGATORID": "1-2"}
    return sent(key, **{**said, "TIMESTAMP": "2013-11-05T05:41:15Z", **fields})


def failed(key: str) -> bytes:
    """An SMS that could not be sent."""
    return sent(key, STATUS="Message Failed")


def first_outcome_stands() -> Definitions:
    """The definitions that ship with Postledger, but that a receipt no longer wins."""
    lines = builtin().charts["delivery"].source.splitlines(keepends=True)
    kept = [line for line in lines if not ('"delivered"' in line and "overrides" in line)]
    assert len(kept) == len(lines) - 1
    return builtin().with_charts([load_chart("".join(kept))])


DELIVERY = builtin().charts["delivery"].source
_OPEN = '"created", "accepted", "sent"'
_FAILS = f'["failed", "sending_failed"], source = [{_OPEN}, "failed"], dest = "failed" }}'


def chart(tmp_path: Path, *, last_stands: bool) -> Path:
    """The chart with another policy: the first, or the last outcome stands."""
    path = tmp_path / "delivery.toml"
    text = DELIVERY.replace("version = 1", "version = 2")
    if last_stands:
        taken = _FAILS.replace(f'{_OPEN}, "failed"', '"delivered"').replace(
            " }", ", overrides = true }"
        )
        text = text.replace(
            f"    {{ trigger = {_FAILS},", f"    {{ trigger = {_FAILS},\n    {{ trigger = {taken},"
        )
    else:
        text = re.sub(r".*overrides = true.*\n", "", text)
    assert text.count("overrides = true") == (2 if last_stands else 0)
    path.write_text(text)
    return path


def other(tmp_path: Path, *, last_stands: bool) -> Definitions:
    """The definitions with that chart."""
    return builtin().with_files([chart(tmp_path, last_stands=last_stands)])


NEWCOMER = """
name = "newcomer"
version = 1
roots = [""]
[fields]
tracking_id = "Id"
status = "What"
timestamp = "When"
[[postbacks]]
match = { status = ["gone out", "arrived"] }
chart = "delivery"
key = "tracking_id"
means = [
    { status = "gone out", trigger = "sent_sms" },
    { status = "arrived", trigger = "delivered" },
]
"""
"""A vocabulary that comes later."""
