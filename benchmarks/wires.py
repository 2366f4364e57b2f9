"""The wires next to each other: bulk ingest of forms, query strings and JSON next to that of XML.

First one postback in each wire, then bodies as providers document them, which have more fields, labels
and amounts; each again and again with ids of its own. The runs of all take turns.
"""

from __future__ import annotations

import statistics
import tempfile
import time
import tomllib
from collections.abc import Iterator
from pathlib import Path

import attrs
import click

from benchmarks.measure import Figure, stopwatch
from benchmarks.report import table
from postledger import Ledger, Receipt
from postledger.postback import Postback
from postledger.wire import read
from postledger.wire.write import write_form, write_json

FIXTURES = Path(__file__).parents[1] / "fixtures"
XML = "XML"
FORM = "application/x-www-form-urlencoded"
GOAL = 1.5
_STATUS = FIXTURES / "specification" / "02-sms-mt-status.xml"
_KEY = b"U01TXzgwNjc4"


@attrs.frozen
class Body:
    """One body of a provider, and the id in it; a query string has no content type."""

    provider: str
    body: bytes
    content_type: str | None
    key: bytes

    def receipts(self, count: int) -> list[Receipt]:
        """So many receipts: the body with other ids of the same length."""
        # Keys end in what tells them apart.
        ids = (self.key[:-8] + b"%08d" % number for number in range(count))
        query = self.content_type is None
        return [
            Receipt(self.body.replace(self.key, one), self.content_type, query=query) for one in ids
        ]


def one_postback() -> dict[str, Body]:
    """The same postback in each wire."""
    (postback,) = read(_STATUS.read_bytes())
    assert isinstance(postback, Postback)
    plain = attrs.evolve(postback, root="", attributes=())
    return {
        XML: Body("skycore", _STATUS.read_bytes(), "text/xml", _KEY),
        "form": Body("skycore", write_form(plain), FORM, _KEY),
        "query": Body("skycore", write_form(plain), None, _KEY),
        "JSON": Body("skycore", write_json(plain), "application/json", _KEY),
    }


def documented() -> dict[str, Body]:
    """Bodies as providers document them."""
    files = {
        "twilio": "delivered.form",
        "plivo": "delivered.form",
        "vonage_sms": "delivered.query",
        "messagebird": "delivered.query",
        "infobip": "delivered-v3.json",
        "telnyx": "delivered.json",
        "sinch_sms": "recipient-delivered.json",
    }
    return {f"{name}, {file}": _documented(name, file) for name, file in files.items()}


def _documented(provider: str, file: str) -> Body:
    folder = FIXTURES / "providers" / provider
    samples = tomllib.loads((folder / "samples.toml").read_text("utf-8"))["samples"]
    (sample,) = [one for one in samples if one["file"] == file]
    key = str(sample["expects"][0]["key"][0]).encode()
    return Body(provider, (folder / file).read_bytes(), sample.get("content_type"), key)


def seconds(provider: str, receipts: list[Receipt], scratch: Path | None) -> tuple[float, float]:
    """What it takes to record them in bulk: by the clock, and of the processor."""
    with (
        tempfile.TemporaryDirectory(dir=scratch) as folder,
        Ledger(Path(folder) / "l.db", providers=provider) as ledger,
        stopwatch() as clock,
    ):
        began = time.process_time()
        ledger.record_many(receipts)
        return clock(), time.process_time() - began


def figures(receipts: int, rounds: int, scratch: Path | None) -> Iterator[Figure]:
    """An event of each body next to one of XML: medians of the ratios of each round."""
    same, others = one_postback(), documented()
    bodies = {**same, **others}
    known = {name: body.receipts(receipts) for name, body in bodies.items()}
    took = [
        {name: seconds(bodies[name].provider, told, scratch) for name, told in known.items()}
        for _ in range(rounds)
    ]
    for name in (one for one in bodies if one != XML):
        for number, what in enumerate(("wall", "CPU")):
            ratio = statistics.median(one[name][number] / one[XML][number] for one in took)
            ours, theirs = (
                statistics.median(one[of][number] for one in took) / receipts * 1e6
                for of in (name, XML)
            )
            goal = {"goal": f"≤ {GOAL}", "met": ratio <= GOAL} if name in same else {}
            size = len(bodies[name].body) / len(bodies[XML].body)
            told = f"{name}: bulk ingest of {size:.1f} x the bytes, {what}"
            yield Figure(told, ours, "µs an event", "XML", theirs, **goal)


@click.command()
@click.option("--receipts", default=20_000, show_default=True, help="Receipts of each provider.")
@click.option("--rounds", default=5, show_default=True, help="Interleaved runs.")
@click.option("--scratch", type=click.Path(path_type=Path), help="Folder for the ledgers.")
def main(receipts: int, rounds: int, scratch: Path | None) -> None:
    """Bulk ingest of each wire next to that of XML."""
    click.echo(table(list(figures(receipts, rounds, scratch))))


if __name__ == "__main__":
    main()
