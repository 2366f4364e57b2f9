"""Fuzz of the readers with atheris, by hand: ``python -m tests.fuzz.readers [SECONDS] [CORPUS]``.

It needs ``pip install atheris``. Coverage of the readers and of the patterns guides it from the samples
in ``fixtures/``. A body that raises anything but ``ReadError``, that is not kept as it came and as the
reader of record reads it, that takes longer than 5 s or more than 1 GB is written to ``crash-…`` and
ends the run.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["postledger", "xmltodict"]):
    from postledger import Ledger
    from postledger.errors import ReadError
    from postledger.postback import Postback
    from postledger.wire import read

TYPES = (
    None,
    "text/xml",
    "application/json",
    "application/x-www-form-urlencoded",
    "multipart/form-data",
)
ROOT = Path(__file__).parent.parent.parent


def corpus(folder: Path) -> Path:
    """The samples, each behind a byte that chooses the content type."""
    for number, path in enumerate(sorted((ROOT / "fixtures").rglob("*.*ml"))):
        (folder / f"{number}").write_bytes(b"\x01" + path.read_bytes())
    for number, path in enumerate(sorted((ROOT / "fixtures").rglob("*.json"))):
        (folder / f"json-{number}").write_bytes(b"\x02" + path.read_bytes())
    return folder


def main(seconds: str = "60", given: str = "") -> None:
    """Fuzz for so many seconds."""
    folder = Path(tempfile.mkdtemp())
    ledger = Ledger(folder / "fuzz.db")
    at = 0

    def one(data: bytes) -> None:
        nonlocal at
        kind, body = TYPES[data[0] % len(TYPES)] if data else None, data[1:]
        try:
            said = read(body, kind)[0]
        except ReadError as error:
            said = error
        recorded = ledger.record(body, content_type=kind)
        kept = recorded.event.postback
        if kept is not None and (not isinstance(said, Postback) or kept.fields != said.fields):
            raise AssertionError("what was kept is not what the reader of record says")
        if recorded.event.body != body or recorded.event.position != at + 1:
            raise AssertionError("the body was not kept as it was given")
        at += 1

    bodies = Path(given) if given else corpus(Path(tempfile.mkdtemp()))
    limits = [f"-max_total_time={seconds}", "-timeout=5", "-rss_limit_mb=1024", "-max_len=4096"]
    atheris.Setup([sys.argv[0], *limits, str(bodies)], one)
    atheris.Fuzz()


if __name__ == "__main__":
    main(*sys.argv[1:])
