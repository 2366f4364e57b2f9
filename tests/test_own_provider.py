"""Another provider by TOML alone: the worked example of docs/how-to/your-own-provider.md."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from itertools import permutations
from pathlib import Path
from typing import Any

import pytest

from postledger import Ledger
from postledger.definitions.definitions import builtin, check, load

Run = Callable[..., Any]
DOCS = Path(__file__).parents[1] / "docs"
EXAMPLE = DOCS / "examples" / "status-callbacks"


@pytest.fixture
def callbacks(tmp_path: Path) -> Iterator[Ledger]:
    """A ledger that folds by the example alone."""
    with Ledger(tmp_path / "test.db", definitions=load([EXAMPLE])) as ledger:
        yield ledger


def callback(status: str, key: object = "SM01", **more: object) -> bytes:
    """A status callback as the provider sends it."""
    said = {"MessageSid": key, "To": "+16503333058", "MessageStatus": status, **more}
    return json.dumps(said).encode()


def test_example_is_right() -> None:
    """The example has no fault and is what its page shows."""
    assert check([EXAMPLE]) == []
    page = (DOCS / "how-to" / "your-own-provider.md").read_text()
    assert all(path.read_text() in page for path in EXAMPLE.glob("*.toml"))


@pytest.mark.parametrize(
    ("statuses", "state"),
    [
        (["queued"], "queued"),
        (["accepted", "sending"], "queued"),
        (["queued", "sent"], "sent"),
        (["queued", "sent", "delivered"], "delivered"),
        (["queued", "sent", "undelivered"], "undelivered"),
        (["queued", "failed"], "failed"),
        (["queued", "sent", "undelivered", "delivered"], "delivered"),
        (["queued", "read"], "queued"),
    ],
)
def test_states_in_any_order(statuses: list[str], state: str, callbacks: Ledger) -> None:
    """The callbacks of a message lead to its state in whatever order they come."""
    orders = list(permutations(statuses))
    callbacks.record_many(
        callback(status, str(key)) for key, order in enumerate(orders) for status in order
    )
    found = {callbacks.delivery(str(key)).state for key in range(len(orders))}
    assert found == {state}


def test_numbers(callbacks: Ledger) -> None:
    """Numbers of JSON keep their digits: the error is the reason, an id stays an id."""
    callbacks.record(callback("undelivered", key=20130715123456789012, ErrorCode=30003))
    delivery = callbacks.delivery("20130715123456789012")
    assert (delivery.state, delivery.reason, delivery.to) == (
        "undelivered",
        "30003",
        "+16503333058",
    )


def test_unknown_status(callbacks: Ledger) -> None:
    """A status that the vocabulary doesn't have is kept with its message and changes nothing."""
    callbacks.record(callback("sent"))
    recorded = callbacks.record(callback("read"))
    assert (recorded.event.reading, recorded.event.key) == ("unrecognised", "SM01")
    assert callbacks.delivery("SM01").state == "sent"


def test_nothing_else_is_known(callbacks: Ledger, specification: list[bytes]) -> None:
    """By its own definitions alone, another provider's postbacks are kept as unrecognised."""
    summary = callbacks.record_many(specification)
    assert (summary.recorded, summary.unrecognised) == (0, 10)
    assert callbacks.verify().ok


def test_beside_what_ships(tmp_path: Path) -> None:
    """A vocabulary beside those that ship speaks to their charts, and takes nothing from them."""
    words = (EXAMPLE / "callbacks.toml").read_text()
    for own, shipped in (("queued", "created"), ("sent", "sent_sms"), ("undelivered", "failed")):
        words = words.replace(f'trigger = "{own}"', f'trigger = "{shipped}"')
    path = tmp_path / "callbacks.toml"
    path.write_text(words)
    assert check([path]) == []
    with Ledger(tmp_path / "test.db", vocabulary=[path]) as ledger:
        ledger.record_many([callback("sent"), callback("undelivered")])
        assert (ledger.delivery("SM01").state, ledger.delivery("SM01").route) == ("failed", "sms")
        assert len(ledger.definitions.vocabularies) == len(builtin().vocabularies) + 1


def test_on_the_command_line(run: Run, tmp_path: Path) -> None:
    """``ingest`` gives a new ledger the files; an old one refuses others than it has."""
    lines, path = tmp_path / "callbacks.jsonl", tmp_path / "test.db"
    lines.write_bytes(callback("sent") + b"\n" + callback("undelivered", ErrorCode=30003) + b"\n")
    own = ("--chart", EXAMPLE / "message.toml", "--vocabulary", EXAMPLE / "callbacks.toml")
    assert run("ingest", path, lines, *own, "--only").exit_code == 0
    assert json.loads(run("show", path, "SM01", "--json").stdout)["state"] == "undelivered"
    assert run("ingest", path, lines, *own, "--only").exit_code == 0
    unfit = run("ingest", tmp_path / "other.db", lines, *own)
    assert unfit.exit_code == 1
    assert "message.toml: chart 'delivery' lacks triggers of the vocabulary" in unfit.stderr
    assert run("ingest", path, lines, "--only").exit_code == 2
    refused = run("ingest", path, lines, "--only", *own[:2])
    assert refused.exit_code == 1
    assert "what is given lacks callbacks 1" in refused.stderr
