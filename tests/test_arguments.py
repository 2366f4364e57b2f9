"""Arguments: what is wrong is said at the call, by its name, whatever is called and with whatever."""

from __future__ import annotations

import asyncio
import inspect
import re
import warnings
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from postledger import (
    Anchor,
    AsyncLedger,
    Ledger,
    Limits,
    PostledgerError,
    Query,
    Receipt,
    Retry,
)
from postledger.definitions import (
    builtin,
    check,
    define,
    from_sources,
    load,
    load_chart,
    load_vocabulary,
)
from postledger.simulate import Disturbances, arrivals, load_story, messages, read_story, simulate
from postledger.simulate.story import builtin as story
from tests.conftest import FIXTURES
from tests.samples import sent

BODY = sent("a")
NAIVE = datetime(2026, 11, 5)


class Nothing:
    """No argument is of this kind."""


WRONG: tuple[Any, ...] = (
    *(Nothing(), None, True, 7, -7, 2**70, 0.5, -0.5, float("nan"), float("inf")),
    *("", "x", " x ", "a\nb", "\0", ":memory:", b"x", bytearray(b"x"), memoryview(b"x")),
    *(
        timedelta.max,
        [],
        ["x"],
        ["sent"],
        [7],
        (),
        {},
        {"x": "y"},
        NAIVE,
        datetime.min,
        timedelta(-1),
        print,
        str,
    ),
)
"""Values of every kind; which of them an argument takes is for the call to say."""

READS = ("delivery", "content", "timeline", "deliveries", "events", "head", "verify", "audit")
METHODS = (
    *READS,
    *("record", "record_many", "record_batches", "imported", "created", "replay", "differences"),
    *("follow", "subscribe", "project", "query"),
)
GOOD: dict[str, dict[str, Any]] = {
    "record": {"body": BODY},
    "record_many": {"receipts": []},
    "record_batches": {"receipts": []},
    "imported": {"sha256": "0" * 64, "receipts": 1},
    "created": {"tracking_id": "a", "to": "1"},
    "delivery": {"tracking_id": "a"},
    "content": {"mms_id": "a"},
    "timeline": {"key": "a"},
    "follow": {"live": False},
    "subscribe": {"name": "a", "handler": len, "live": False},
    "query": {"sql": "SELECT 1"},
    "differences": {"definitions": builtin()},
}
"""What calls need; of the arguments left out each is tried alone."""

FUNCTIONS: dict[str, tuple[Callable[..., Any], dict[str, Any]]] = {
    "Query": (Query, {}),
    "Retry": (Retry, {}),
    "Receipt": (Receipt, {"body": BODY}),
    "Limits": (Limits, {}),
    "Anchor": (Anchor, {"size": 1, "root": "0" * 64}),
    "Anchor.parse": (Anchor.parse, {"text": f"1:{'0' * 64}"}),
    "Disturbances": (Disturbances, {}),
    "simulate": (simulate, {"count": 1}),
    "messages": (messages, {"story": story(), "count": 1}),
    "arrivals": (arrivals, {"messages": []}),
    "load_story": (load_story, {"source": ""}),
    "read_story": (read_story, {"path": "x"}),
    "load": (load, {"paths": []}),
    "check": (check, {"paths": []}),
    "define": (define, {"charts": [], "vocabularies": []}),
    "from_sources": (from_sources, {"sources": []}),
    "load_chart": (load_chart, {"source": ""}),
    "load_vocabulary": (load_vocabulary, {"source": ""}),
    "with_files": (builtin().with_files, {}),
    "with_charts": (builtin().with_charts, {"charts": []}),
    "with_vocabularies": (builtin().with_vocabularies, {"vocabularies": []}),
    "chart": (builtin().chart, {"name": "delivery"}),
}


def parameters(call: Callable[..., Any]) -> Iterator[str]:
    """The names of a call's arguments, but for those of any name."""
    for one in inspect.signature(call).parameters.values():
        if one.name != "self" and one.kind is not one.VAR_KEYWORD:
            yield one.name


def try_all(call: Callable[..., Any], good: dict[str, Any], name: str) -> None:
    """Give one argument every value: taken, or refused by its name in one line."""
    for value in WRONG:
        refused = None
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)
            try:
                answer = call(**{**good, name: value})
                if isinstance(answer, Iterator) and name != "live":
                    list(islice(answer, 3))
            except (TypeError, ValueError) as error:
                refused = error
            except PostledgerError:
                assert not isinstance(value, Nothing), name
                continue
        if refused is None:
            assert not isinstance(value, Nothing), f"{name} takes anything"
        else:
            told = str(refused)
            assert len(refused.args) == 1, refused.args
            assert re.search(
                rf"\b{name}\b|invalid anchor|unknown (chart|provider|reason class)", told
            ), f"{name}={value!r}: {told}"
            assert "\n" not in told, told


@pytest.mark.parametrize("name", FUNCTIONS)
def test_public_callables_name_a_wrong_argument(name: str) -> None:
    """A ``TypeError`` or ``ValueError`` at the call, with the name of the argument."""
    call, good = FUNCTIONS[name]
    for argument in parameters(call):
        try_all(call, good, argument)


@pytest.mark.parametrize("name", METHODS)
def test_methods_of_a_ledger_name_a_wrong_argument(ledger: Ledger, name: str) -> None:
    """Likewise, and at the call where what is returned is an iterator."""
    ledger.record(BODY)
    for argument in parameters(getattr(Ledger, name)):
        try_all(getattr(ledger, name), GOOD.get(name, {}), argument)
    assert ledger.verify().ok


def test_a_subscription_names_a_wrong_argument(ledger: Ledger) -> None:
    """However long it is to wait."""
    ledger.record(BODY)
    subscription = ledger.subscribe("a", len)
    for name, good in (("wait", {}), ("reached", {"position": 1})):
        for argument in parameters(getattr(subscription, name)):
            if argument != "position":
                try_all(getattr(subscription, name), good, argument)
    with pytest.raises(TypeError, match="position must be a whole number, got 'x'"):
        subscription.reached("x")  # type: ignore[arg-type]


def test_fields_of_a_query_are_checked_at_the_call(ledger: Ledger) -> None:
    """Before anything is iterated."""
    for field in parameters(Query):
        try_all(ledger.deliveries, {}, field)


def test_an_async_ledger_names_a_wrong_argument(tmp_path: Path) -> None:
    """When it is awaited, and where nothing is awaited at the call itself."""

    async def main() -> None:
        async with AsyncLedger(tmp_path / "a.db") as ledger:
            for name in (*METHODS, "follow"):
                for argument in parameters(getattr(Ledger, name)):
                    arguments = {**GOOD.get(name, {}), argument: Nothing()}
                    with pytest.raises((TypeError, ValueError), match=rf"\b{argument}\b"):
                        called = getattr(ledger, name)(**arguments)
                        assert inspect.isawaitable(called), name
                        await called

    asyncio.run(main())


@pytest.mark.parametrize("kind", [Ledger, AsyncLedger])
def test_a_ledger_names_a_wrong_argument_and_makes_no_file(
    kind: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither the file of its name nor one of a letter."""
    monkeypatch.chdir(tmp_path)

    def opened(**arguments: Any) -> None:
        made = kind(**arguments)
        if isinstance(made, Ledger):
            made.close()

    for argument in parameters(Ledger):
        good = {"path": "l.db", "readonly": True} if argument != "path" else {"readonly": True}
        try_all(opened, good, argument)
    for wrong in (
        {"limits": "x"},
        {"timeout": "5"},
        {"timeout": -1},
        {"charts": 7},
        {"charts": [7]},
        {"vocabulary": b"a.toml"},
        {"path": ":memory:"},
    ):
        with pytest.raises((TypeError, ValueError), match=next(iter(wrong))):
            opened(**{"path": "l.db", **wrong})
    with pytest.raises(TypeError, match="synchronous"):
        opened(path="l.db", synchronous=1)
    assert list(tmp_path.iterdir()) == []


def test_a_single_path_is_one_path(tmp_path: Path) -> None:
    """A text is not walked letter by letter."""
    chart = tmp_path / "mine.toml"
    chart.write_text(builtin().charts["delivery"].source.replace("version = 1", "version = 9", 1))
    for number, given in enumerate((chart, str(chart), [chart], (str(chart) for _ in "a"))):
        with Ledger(tmp_path / f"{number}.db", charts=given) as ledger:
            assert ledger.definitions.charts["delivery"].version == 9
    assert load(str(chart)).charts["delivery"].version == 9
    assert check(chart) == []
    with pytest.raises(PostledgerError, match=r"a\.toml: can't be read"):
        Ledger(tmp_path / "x.db", vocabulary=str(tmp_path / "a.toml"))
    assert not (tmp_path / "x.db").exists()


@pytest.mark.parametrize("body", [bytearray(BODY), memoryview(BODY), BODY])
def test_a_body_may_be_any_bytes(ledger: Ledger, body: Any) -> None:
    """It is kept as it was at the call, whatever becomes of the buffer."""
    ledger.record(body, "text/xml")
    ledger.record_many([body])
    receipt = Receipt(body)
    if isinstance(body, bytearray):
        body.clear()
    assert receipt.body == BODY
    events = list(ledger.events(after=0))
    assert [event.body for event in events] == [BODY, BODY]
    assert events[0].content_type == "text/xml"


@pytest.mark.parametrize(
    ("call", "told"),
    [
        (lambda ledger: ledger.deliveries(state="sending"), "unknown state 'sending'"),
        (lambda ledger: ledger.deliveries(state="x", definitions="then"), "unknown state 'x'"),
        (lambda ledger: ledger.deliveries(Query(), state="sent"), "got both: state"),
        (lambda ledger: ledger.deliveries(colour="red"), "colour"),
        (lambda ledger: ledger.deliveries(state=["sent"]), r"state must be text, got \['sent'\]"),
        (lambda ledger: ledger.deliveries(stuck="24h"), "stuck must be a timedelta, got '24h'"),
        (lambda ledger: ledger.deliveries(to=1650), "to must be text, got 1650"),
        (lambda ledger: ledger.audit(since=LATER, until=EARLIER), "since must be before until"),
        (lambda ledger: ledger.deliveries(since=LATER, until=EARLIER), "since must be before"),
        (lambda ledger: ledger.audit(tracking_id="a", since=EARLIER), "since and until must be left"),
        (lambda ledger: ledger.audit(space="a"), "space must go with a tracking_id"),
        (lambda ledger: ledger.created("", to="1"), "tracking_id must be non-empty"),
        (lambda ledger: ledger.created(" x ", to="1"), "tracking_id must be non-empty text"),
        (lambda ledger: ledger.created("a\0b", to="1"), "tracking_id must be text without control"),
        (lambda ledger: ledger.created("a", to="1\n2"), "to must be text without control"),
        (lambda ledger: ledger.created("a", to="1", space="a\nb"), "space must be text without"),
        (lambda ledger: ledger.query("SELECT ?", "a"), "parameters must be a sequence"),
        (lambda ledger: ledger.record_many(BODY), "receipts must be an iterable of Receipt or bytes"),
        (lambda ledger: Receipt(BODY, received_at=NAIVE), "received_at must be .* without a zone"),
        (lambda ledger: Retry(times="x"), "^times must be a whole number, got 'x'$"),
        (lambda ledger: simulate(1, generations={"x": 1}), "generations must be of"),
        (lambda ledger: ledger.project(SimpleNamespace(**{**MINE, "version": "1"})), "version must be a"),
        (lambda ledger: ledger.project(SimpleNamespace(**{**MINE, "tables": "a"})), "tables must be a"),
        (lambda ledger: ledger.project(SimpleNamespace(**{**MINE, "apply": None})), "apply must be call"),
        (lambda ledger: ledger.project(SimpleNamespace(**{**MINE, "name": 7})), "name must be text"),
        (
            lambda ledger: ledger.tallies(by="hour"),
            "by must be some of hour, source, .*, seconds, got 'hour'; write by=\\['hour'\\]$",
        ),
        (lambda ledger: ledger.tallies(by=5), "by must be some of hour, source, .*, seconds, got 5$"),
        (lambda ledger: simulate(-1), "count must be at least 0, got -1"),
        (lambda ledger: simulate(1, rate=0), "rate must be a number above 0, got 0"),
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_refused_at_the_call(
    ledger: Ledger, call: Callable[[Ledger], Any], told: str
) -> None:
    """Not at the first step of an iteration, and not by an answer that is empty."""
    with pytest.raises((TypeError, ValueError), match=told):
        call(ledger)
    assert ledger.head().size == 1


MINE = {"name": "a", "version": 1, "tables": {}, "apply": print}
EARLIER, LATER = datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 2, 1, tzinfo=UTC)


def test_batches_that_nobody_iterates_warn(ledger: Ledger) -> None:
    """As a coroutine does that was never awaited: nothing was recorded."""
    with pytest.warns(RuntimeWarning, match="never iterated: nothing was recorded"):
        ledger.record_batches([Receipt(BODY)])
    assert ledger.head().size == 1


def test_a_long_timeout_waits(tmp_path: Path) -> None:
    """One that is longer than SQLite counts is not one of no time."""
    for timeout in (float("inf"), 1e12):
        with Ledger(tmp_path / "l.db", timeout=timeout) as ledger:
            with ledger._connections.write() as own:
                assert own.store.one("PRAGMA busy_timeout") == (2_000_000_000,)
            assert ledger.record((FIXTURES / "api/response-success.xml").read_bytes())
