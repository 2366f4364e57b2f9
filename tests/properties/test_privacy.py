"""Templates: bounded in number, agreed on by all processes, and without a recipient's number."""

from __future__ import annotations

import html
import json
import random
import re
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

import pytest

from postledger import Ledger, Receipt
from postledger.definitions import builtin
from postledger.log import interned

NUMBER = "16503333058"
_BODY = (
    "<POSTBACK{attribute}>{comment}<ORIGIN>SMS_MT</ORIGIN><CODE>N201</CODE>"
    "<STATUS>Message Sent</STATUS><TO>{to}</TO><TRACKINGID>{key}</TRACKINGID><SPID>0001470</SPID>"
    "<TIMESTAMP>2013-11-05T05:41:08-05:00</TIMESTAMP>{field}</POSTBACK>"
)


def body(key: str, *, to: str = "", **parts: str) -> bytes:
    """A postback that tells the number in one place or another."""
    blank = {"attribute": "", "comment": "", "field": ""}
    return _BODY.format(**(blank | parts), to=to, key=key).encode()


def _hex(text: str) -> str:
    return "".join(f"&#x{ord(digit):x};" for digit in text)


def _decimal(text: str) -> str:
    return "".join(f"&#{ord(digit)};" for digit in text)


SPELLINGS: dict[str, dict[str, str]] = {
    "plain": {"to": NUMBER},
    "spaces": {"to": " ".join(NUMBER)},
    "entity": {"to": _decimal(NUMBER)},
    "hexadecimal entity": {"to": _hex(NUMBER)},
    "attribute": {"attribute": f' to="{NUMBER}"'},
    "entities in an attribute": {"attribute": f' to="{_hex(NUMBER)}"'},
    "namespace": {"attribute": f' xmlns:n="{NUMBER}"'},
    "entities in a namespace": {"attribute": f' xmlns:n="{_hex(NUMBER)}"'},
    "comment": {"comment": f"<!-- {NUMBER} -->"},
    "entities in a comment": {"comment": f"<!-- {_hex(NUMBER)} -->"},
    "character data": {"to": f"<![CDATA[{NUMBER}]]>"},
    "field name": {"field": f"<F{NUMBER}>1</F{NUMBER}>"},
    "field names": {"field": "".join(f"<F{digit}>1</F{digit}>" for digit in NUMBER)},
}


def told(ledger: Ledger) -> str:
    """All that templates hold, with references and percent signs resolved: letters and digits."""
    rows = ledger.query("SELECT pieces FROM templates")
    pieces = [piece for row in rows for piece in json.loads(row["pieces"])]
    plain = html.unescape(unquote("".join(pieces)))
    return re.sub(r"[^0-9A-Za-z]", "", plain)


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_no_template_holds_a_number(tmp_path: Path, spelling: str) -> None:
    """After 1,000 bodies for one number its digits stand in no template, however it is spelled."""
    with Ledger(tmp_path / "test.db") as ledger:
        ledger.record_many(body(f"K{n}", **SPELLINGS[spelling]) for n in range(1_000))
        assert NUMBER not in told(ledger)
        assert NUMBER[4:] not in told(ledger)
        assert sum(1 for event in ledger.events() if event.kind == "receipt") == 1_000


@pytest.mark.parametrize(
    "other",
    [
        json.dumps(
            {"code": "N201", "status": "Sent", "to": int(NUMBER), "trackingid": "K"}
        ).encode(),
        json.dumps({"code": "N201", "status": "Sent", NUMBER: "to", "trackingid": "K"}).encode(),
        ("xml=" + quote(body("K", to=NUMBER).decode())).encode(),
        json.dumps(["N201", NUMBER]).encode(),
    ],
    ids=["JSON number", "JSON name", "form", "JSON array"],
)
def test_no_template_of_another_wire_holds_a_number(tmp_path: Path, other: bytes) -> None:
    """Neither do templates of JSON and of forms."""
    with Ledger(tmp_path / "test.db") as ledger:
        ledger.record_many([other] * 1_000)
        assert NUMBER not in told(ledger)


def _worded(rng: random.Random, words: dict[str, frozenset[str]]) -> bytes:
    fields = {
        name: rng.choice(sorted(words[name])) for name in ("ORIGIN", "CODE", "SENTAS", "STATUS")
    }
    nodes = "".join(f"<{name}>{text}</{name}>" for name, text in fields.items())
    return (
        f"<POSTBACK>{nodes}<TO>{rng.randrange(10**10)}</TO>"
        f"<TRACKINGID>K{rng.randrange(10**6)}</TRACKINGID></POSTBACK>"
    ).encode()


def _skeletons(ledger: Ledger) -> list[dict[str, Any]]:
    return ledger.query("SELECT skeleton, count(*) AS n FROM templates GROUP BY skeleton")


@pytest.mark.parametrize("most", [8, pytest.param(64, marks=pytest.mark.long)])
def test_templates_of_a_skeleton_are_bounded(
    tmp_path: Path, most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bodies with random listed words make so many templates and one more, which fixes no word."""
    monkeypatch.setattr(interned, "MOST_WORDED", most)
    rng, words = random.Random(7), builtin().lexicon.words
    with Ledger(tmp_path / "test.db") as ledger:
        bodies = [_worded(rng, words) for _ in range(most * 312)]
        ledger.record_many(Receipt(one, "text/xml") for one in bodies)
        (found,) = _skeletons(ledger)
        assert found["n"] == most + 1
        received = [event.body for event in ledger.events() if event.kind == "receipt"]
        assert received == bodies


_ONE = """
import sys
from postledger import Ledger
with Ledger(sys.argv[1]) as ledger:
    ledger.record(bytes.fromhex(sys.argv[2]), content_type="text/xml")
"""


@pytest.mark.parametrize("count", [12, pytest.param(1_000, marks=pytest.mark.long)])
def test_processes_with_one_receipt_each_share_templates(tmp_path: Path, count: int) -> None:
    """Processes that record one receipt each make one template for each kind of body."""
    path = tmp_path / "test.db"
    Ledger(path).close()
    kinds = [body("{}", to="{}"), body("{}", to="{}").replace(b"N201", b"N202")]
    before = path.stat().st_size
    for number in range(count):
        told_ = kinds[number % 2].decode().format(*(f"{n}{number}" for n in ("1650333", "K")))
        subprocess.run(
            [sys.executable, "-c", _ONE, str(path), told_.encode().hex()], check=True, timeout=60
        )
    with Ledger(path) as ledger:
        assert [found["n"] for found in _skeletons(ledger)] == [2]
    if count >= 1_000:
        # Each is a delivery of its own, with its state and the terms that it is found by.
        assert (path.stat().st_size - before) / count <= 340


def test_a_rolled_back_write_leaves_no_number_behind(tmp_path: Path) -> None:
    """What was interned in a write that failed is interned again, and read as what it is."""
    path = tmp_path / "test.db"
    with Ledger(path) as ledger, Ledger(path) as other:
        with pytest.raises(ZeroDivisionError), ledger._connections.write() as own:
            own.log.interned.admit(*_templates(b"<A><B>1</B></A>"))
            raise ZeroDivisionError
        other.record(body("K1", to=NUMBER))
        ledger.record(b"<A><B>1</B></A>")
        ledger.record(body("K2", to=NUMBER))
        numbers = ledger.query("SELECT id FROM templates ORDER BY id")
        assert [row["id"] for row in numbers] == [1, 2]
        received = [event.body for event in other.events()][1:]
        assert received == [body("K1", to=NUMBER), b"<A><B>1</B></A>", body("K2", to=NUMBER)]
        assert other.verify().ok


def _templates(one: bytes) -> tuple[Any, Any]:
    from postledger.templates import Template, split

    found = split(one)
    assert found is not None
    return Template(found[0]), Template(found[0])
