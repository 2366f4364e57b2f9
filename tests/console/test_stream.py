"""The live list: every member of every event once, in order, wherever a stream was cut."""

from __future__ import annotations

import asyncio
import json
import random
import threading
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from postledger import Ledger
from postledger.console.asking import Asking
from postledger.console.stream import MOST_OF_SESSION, Stream, place_of
from postledger.store.store import LARGEST
from tests.console import Visitor, bundle, running, signed_in, visitor
from tests.samples import delivered, sent

RECONNECTS = 100


def ids(lines: Iterator[str]) -> Iterator[str]:
    """The ids of the messages of a stream; each has what it says before the next begins."""
    for line in lines:
        if line.startswith("id: "):
            found = line.removeprefix("id: ")
        elif line.startswith("data: "):
            assert json.loads(line.removeprefix("data: "))["at"] == int(found.partition(".")[0])
            yield found


def test_a_hundred_reconnects_under_load_lose_and_repeat_nothing(tmp_path: Path) -> None:
    """While others record, bundles too: each member of each event once, in order."""
    choose = random.Random(17)
    with Ledger(tmp_path / "busy.db", providers=["infobip", "skycore"]) as ledger:
        done = threading.Event()

        def record() -> None:
            number = 0
            while not done.is_set():
                number += 1
                ledger.record(sent(f"s{number}"))
                ledger.record(bundle(*(f"b{number}-{n}" for n in range(number % 4 + 1))))
                ledger.record(b"?")
                done.wait(0.002)

        with running(ledger.path) as console, closing(signed_in(console)) as client:
            writer = threading.Thread(target=record)
            writer.start()
            last, heard = "0.0", ["0.0"]
            try:
                for _ in range(RECONNECTS):
                    headers = {"Last-Event-ID": last}
                    with client.stream("GET", "/stream", headers=headers) as answer:
                        assert answer.headers["content-type"].startswith("text/event-stream")
                        stream = ids(answer.iter_lines())
                        heard += [next(stream) for _ in range(choose.randint(1, 40))]
                    last = heard[-1]
            finally:
                done.set()
                writer.join()
        positions = range(int(last.partition(".")[0]) + 1)
        members = [f"{e.position}.{e.member}" for e in ledger.events() if e.position in positions]
    assert heard == members[: len(heard)]
    assert len(heard) > RECONNECTS
    assert any(not one.endswith(".0") for one in heard)


def test_a_stream_begins_where_it_is_told(ledger: Ledger) -> None:
    """After a position all its members were seen; after a member the next one comes."""
    ledger.record(sent("a"))
    ledger.record(sent("b"))
    asking = Asking(ledger)
    for after, first in (
        (place_of("0"), (1, 0)),
        (place_of("1.0"), (2, 0)),
        (place_of("1"), (2, 0)),
    ):
        assert Stream(asking, after, None, "").page()[0].place == first
    assert Stream(asking, place_of("2"), None, "").page() == []
    assert Stream(asking, (2, LARGEST), None, "").page() == []
    assert Stream(asking, place_of("9"), None, "").page() == []


def test_only_what_fits_has_a_row(ledger: Ledger) -> None:
    """What no longer fits is named all the same, so that it leaves the list."""
    ledger.record(sent("a"))
    ledger.record(delivered("a"))
    stream = Stream(Asking(ledger), place_of("0"), lambda one: one.state == "sent", "/console")
    said = [json.loads(m.text.partition("data: ")[2]) for m in stream.page()]
    assert [("row" in one, "key" in one) for one in said] == [(True, True), (False, True)]
    assert '<a class="mono" href="/console/delivery?id=a">a</a>' in said[0]["row"]


@pytest.mark.parametrize(
    "text", ["", "x", "-1", "1.x", "1." + "9" * 20, "9" * 30, "1 OR 1", "\u0663"]
)
def test_other_places_are_refused(filled: Path, text: str) -> None:
    """Whatever a browser, or somebody else, sends."""
    with pytest.raises(ValueError, match=r"expected POSITION\.MEMBER, got"):
        place_of(text)
    known: Visitor = visitor(filled)
    assert known.get("/stream", headers={"Last-Event-ID": text.encode("utf-8")}).status_code == 400


def test_strangers_hear_nothing(filled: Path) -> None:
    """Without a session a stream sends no event, but leads to the form of sign-in."""
    stranger = visitor(filled, name="")
    assert stranger.get("/stream?after=0").headers["location"] == "/sign-in"


def test_streams_of_a_session_are_bounded(filled: Path) -> None:
    """One more than are allowed is told to come again later."""
    with (
        running(filled) as console,
        closing(signed_in(console)) as client,
        ExitStack() as stack,
    ):
        kept = []
        for _ in range(MOST_OF_SESSION):
            answer = stack.enter_context(client.stream("GET", "/stream?after=0"))
            assert answer.status_code == 200
            # Who lets go of the lines closes the stream.
            kept.append(answer.iter_lines())
            assert next(kept[-1]).startswith("retry: ")
        refused = client.get("/stream?after=0")
        assert (refused.status_code, refused.headers["retry-after"]) == (503, "30")


def test_streams_that_begin_at_once_are_bounded(filled: Path) -> None:
    """Those that were let in together too."""
    console = visitor(filled).app._desk  # type: ignore[attr-defined]
    session = console.sessions.begin()[1]

    async def begun() -> int:
        stream = Stream(console.asking, (0, 0), None, "")
        opened = [
            console.streams.messages(stream, session, console.ask)
            for _ in range(MOST_OF_SESSION + 5)
        ]
        firsts = [await anext(one, None) for one in opened]
        for one in opened:
            await one.aclose()
        return sum(first is not None for first in firsts)

    assert asyncio.run(begun()) == MOST_OF_SESSION


def test_a_session_that_ends_ends_its_stream(filled: Path) -> None:
    """Signed out in one tab, the others hear no more."""
    with (
        running(filled) as console,
        closing(signed_in(console)) as client,
        client.stream("GET", "/stream?after=0") as answer,
    ):
        lines = answer.iter_lines()
        next(lines)
        page = client.get("/").text
        token = page.partition('action="/sign-out"')[2].partition('value="')[2].partition('"')[0]
        client.post("/sign-out", data={"csrf": token}, headers={"Origin": console.url})
        assert list(lines)[-1] == ""
