"""Fuzz of the readers through ``Ledger.record``: whatever comes is kept, and harms nothing else.

By hand and longer: ``POSTLEDGER_FUZZ=5000``; ``tests/fuzz/readers.py`` fuzzes with atheris.

Seen to fail: ``tests/faults/without.py`` takes away that unreadable bodies are kept, that half characters
are refused, and that a body which its template does not give back is kept whole.
"""

from __future__ import annotations

import gzip
import json
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from postledger import UNVERIFIED, Ledger, Receipt
from postledger.errors import ReadError
from postledger.postback import Postback
from postledger.wire import read
from tests.conftest import FIXTURES
from tests.faults import traffic
from tests.states import rows

EXAMPLES = int(os.environ.get("POSTLEDGER_FUZZ", "120"))
# To find that a test fails is enough where a protection was taken away: see tests/faults/without.py.
PHASES = [Phase.generate] if "POSTLEDGER_NO_SHRINK" in os.environ else list(Phase)
SAMPLES = [path.read_bytes() for path in sorted(FIXTURES.rglob("*.xml"))] + [
    path.read_bytes() for path in sorted(FIXTURES.rglob("*.json"))
]
TYPES = (
    None,
    "",
    "text/xml",
    "text/xml; charset=utf-16",
    "application/json",
    "application/x-www-form-urlencoded",
    "multipart/form-data; boundary=x",
    "text/plain; charset=no-such",
    "\x00;;=",
)


@st.composite
def damaged_samples(draw: st.DrawFn) -> bytes:
    """A real body with some of its bytes cut out, doubled or replaced."""
    body = draw(st.sampled_from(SAMPLES))
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(body)))
        end = draw(st.integers(start, min(len(body), start + 40)))
        piece = draw(st.one_of(st.binary(max_size=8), st.just(body[start:end] * 2), st.just(b"")))
        body = body[:start] + piece + body[end:]
    return body


def texts() -> st.SearchStrategy[str]:
    """Texts of all characters, halves of some too."""
    halves = st.sampled_from(("\ud83d", "a \udca9 b"))
    return st.text(st.characters(exclude_categories=()), max_size=12) | halves


def values() -> st.SearchStrategy[object]:
    """Anything that JSON may hold."""
    plain = st.none() | st.booleans() | st.integers() | st.floats() | texts()
    return st.recursive(
        plain,
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts(), inner, max_size=4),
    )


@st.composite
def objects(draw: st.DrawFn) -> bytes:
    """JSON whose names are those of a postback, and whose values are anything."""
    names = ("origin", "code", "status", "tracking-id", "timestamp", "mms-id", "to", "sent-as")
    made = draw(st.dictionaries(st.sampled_from(names) | texts(), values(), max_size=6))
    return json.dumps(draw(st.sampled_from(([made], made, [made, made])))).encode()


@st.composite
def elements(draw: st.DrawFn) -> bytes:
    """XML of known names around texts, comments, sections and references of all kinds."""
    leaf = st.sampled_from(("CODE", "STATUS", "TRACKINGID", "TO", "TIMESTAMP", "X", "tracking-id"))
    inside = st.one_of(
        st.text(max_size=12),
        st.sampled_from(
            ("N101", "Message Sent", "<!-- x -->", "<![CDATA[<a>]]>", "]]>", "&amp;", "&x;")
        ),
        st.sampled_from(
            ("&#0;", "&#x10FFFF;", "<B>1</B>", "<B", "%s", "%(a)s", "{}", "\x00", "\ufeff")
        ),
    )
    leaves = draw(st.lists(st.tuples(leaf, inside, leaf), max_size=6))
    root = draw(st.sampled_from(("POSTBACK", "NOTIFICATION", "postback", "RESPONSE", "SUB")))
    inner = "".join(
        f"<{name}>{text}</{name if index % 5 else other}>"
        for index, (name, text, other) in enumerate(leaves, 1)
    )
    around = st.sampled_from(("", "\n", "<!-- 100% -->", "<!--%s-->", "<?x %d?>", " % "))
    text = f"{draw(around)}<{root}>{draw(around)}{inner}{draw(around)}</{root}>{draw(around)}"
    return text.encode(errors="surrogatepass")


BODIES = st.one_of(
    damaged_samples(),
    damaged_samples(),
    objects(),
    elements(),
    st.binary(max_size=60),
    damaged_samples().map(gzip.compress),
    st.tuples(damaged_samples().map(gzip.compress), st.integers(1, 40)).map(
        lambda x: x[0][: -x[1]]
    ),
)


RECEIPTS = st.builds(
    Receipt,
    BODIES,
    st.sampled_from(TYPES),
    content_encoding=st.sampled_from((None, "gzip", "deflate", "gzip,gzip", "\n,")),
    sender=st.sampled_from(("", "", "basic", UNVERIFIED)),
    query=st.booleans(),
)


@pytest.fixture(scope="module")
def bystander() -> Iterator[Ledger]:
    """A ledger with deliveries of its own, into which everything else is recorded."""
    with tempfile.TemporaryDirectory() as folder, Ledger(Path(folder) / "fuzz.db") as ledger:
        ledger.record_many(traffic.bodies(0, 6))
        yield ledger


@settings(
    max_examples=EXAMPLES, deadline=None, phases=PHASES, suppress_health_check=list(HealthCheck)
)
@given(BODIES, st.sampled_from(TYPES))
def test_whatever_comes_is_kept_byte_for_byte_and_harms_nothing(
    bystander: Ledger, body: bytes, content_type: str | None
) -> None:
    """No error, no body lost, and no delivery changes of which the body does not speak."""
    before = rows(bystander)
    head = bystander.head().size - 1
    recorded = bystander.record(body, content_type=content_type)
    events = list(bystander.events(after=head))
    assert [(event.position, event.member) for event in events] == [
        (head + 1, member) for member in range(1 + len(recorded.others))
    ]
    assert [one.event.member for one in (recorded, *recorded.others)] == [e.member for e in events]
    assert all(event.body == body for event in events)
    assert all(event.content_type == content_type for event in events)
    if isinstance(said := _said(body, content_type), Postback) and recorded.event.postback:
        # Whatever way it took, the reader of record would have read the same.
        assert recorded.event.postback.digest() == said.digest()
        assert recorded.event.postback.fields == said.fields
    spoken_of = {(event.chart, event.key) for event in events}
    after = rows(bystander)
    assert {at: row for at, row in after.items() if at not in spoken_of} == {
        at: row for at, row in before.items() if at not in spoken_of
    }


def _said(body: bytes, content_type: str | None) -> Postback | ReadError:
    try:
        return read(body, content_type)[0]
    except ReadError as error:
        return error


@settings(max_examples=max(5, EXAMPLES // 10), deadline=None, phases=PHASES)
@given(st.lists(RECEIPTS, max_size=30))
def test_batches_of_anything_verify_and_replay(receipts: list[Receipt]) -> None:
    """Whatever a log holds, its tree holds, its states follow from it, and it can be folded again."""
    with tempfile.TemporaryDirectory() as folder, Ledger(Path(folder) / "fuzz.db") as ledger:
        ledger.record_many(receipts)
        firsts = [event.body for event in ledger.events(after=0) if event.member == 0]
        assert firsts == [receipt.body for receipt in receipts]
        before = rows(ledger)
        assert ledger.verify().problems == ()
        ledger.replay()
        assert ledger.verify().problems == ()
        ledger.replay(index=True)
        assert ledger.verify().problems == ()
        assert rows(ledger) == before
