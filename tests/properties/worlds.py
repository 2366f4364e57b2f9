"""Strategies: definitions of an invented provider, its postbacks, and any other receipts."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import cache

import attrs
from hypothesis import strategies as st

from postledger import UNVERIFIED, Receipt
from postledger.definitions.chart_toml import load_chart
from postledger.definitions.definitions import Definitions, builtin, define
from postledger.definitions.vocabulary import Vocabulary
from postledger.definitions.vocabulary_toml import load_vocabulary
from tests import strategies
from tests.conftest import FIXTURES

IDS, WORDS, TIMES = ("ID", "REF"), ("STATE", "KIND", "NOTE"), ("AT", "WHEN")
TEXTS = ("go", "come", "end", "odd", "because", "12")
KEYS = ("k1", "go", "7")
TRIGGERS = ("t0", "t1", "t2")
NEAR = (*TEXTS, *TEXTS, "GO", "goes", "13")
STAMPS = (
    "2020-03-29 02:30:00",
    "2020-03-29 01:30:00",
    "2020-03-29T01:30:00Z",
    "1585445400",
    "never",
)
SHAPES = (
    "",
    "",
    'each = "LIST"',
    'each = ["LIST", "LIST/PARTS"]',
    'embedded = ["NOTE", "LIST/NOTE"]',
)
TESTS = ("", "", "fold", "prefix", "not")
ZONES = ("UTC", "Europe/Berlin", "America/New_York")
MOMENT = datetime(2026, 1, 1, tzinfo=UTC)


@attrs.frozen
class Made:
    """What one set of definitions says of the invented provider."""

    zone: str
    key: str
    time: str
    words: tuple[str, tuple[tuple[str, str], ...]]
    chart: str
    space: str
    ignores: bool
    reasons: tuple[str, ...]
    shipped: str
    shape: str
    test: str
    several: bool
    source: bool
    formats: bool

    @property
    def definitions(self) -> Definitions:
        """The charts and vocabularies."""
        return _defined(self)


@cache
def _defined(made: Made) -> Definitions:
    charts = [*builtin().charts.values(), load_chart(made.chart)]
    return define(charts, [*_shipped(made.shipped), load_vocabulary(_toml(made))])


@cache
def _shipped(zone: str) -> tuple[Vocabulary, ...]:
    """The vocabularies that ship, with another zone for times that name none."""
    sources = [
        v.source.replace('naive = "UTC"', f'naive = "{zone}"') for v in builtin().vocabularies
    ]
    return tuple(load_vocabulary(source) for source in sources)


def _toml(made: Made) -> str:
    field, words = made.words
    key = made.key if made.key != field else IDS[0]
    note, rest = [name for name in (*WORDS, *IDS) if name not in (field, key)][:2]
    means = ", ".join(
        f'{{ state = {_condition(made.test, word, words)}, trigger = "{said}" }}'
        for word, said in (words[:1] if made.test == "not" else words)
    )
    return "\n".join(
        [
            'name = "made"',
            "version = 1",
            'roots = ["MSG", ""]',
            f'space = "{made.space}"' if made.space else "",
            'ignore = ["SEQ"]' if made.ignores else "",
            made.shape,
            'inside = ["LIST", "NOTE", "LIST/PARTS"]' if made.shape else "",
            'numbers = "to"' if made.several else "",
            "[fields]",
            f'key = "{key}"',
            f'state = "{field}"',
            f'at = "{made.time}"',
            'to = "TO"',
            f'status_details = "{note}"',
            f'rest = "{rest}"',
            "[timestamps]",
            'field = "at"',
            f'naive = "{made.zone}"',
            'format = ["iso", "epoch_s"]' if made.formats else "",
            "[[postbacks]]",
            "match = { state = true" + (', source = ["one", ""] }' if made.source else " }"),
            'chart = "thing"',
            'key = ["key", "to"]' if made.several else 'key = "key"',
            'requires = ["to", "at"]',
            f"reason = {json.dumps(made.reasons)}",
            f"means = [{means}]",
        ]
    )


def _condition(test: str, word: str, words: tuple[tuple[str, str], ...]) -> str:
    if word.isdigit() and test in ("fold", "prefix"):
        return "{ range = [0, 99] }"
    if test == "not":
        return f"{{ not = {{ fold = {json.dumps([one for one, _ in words])} }} }}"
    return f'{{ {test} = "{word}" }}' if test else f'"{word}"'


@st.composite
def thing_charts(draw: st.DrawFn) -> str:
    """The chart that the invented provider speaks to: states, stages and policy vary."""
    stage = st.sampled_from(("early", "late"))
    stages = {trigger: draw(stage) for trigger in TRIGGERS}
    taken = {("t0", "a"): "b", ("t1", "b"): "c", ("t2", draw(st.sampled_from("abc"))): "b"}
    extra = st.tuples(st.sampled_from(TRIGGERS), st.sampled_from("abc"))
    more = draw(st.dictionaries(extra, st.sampled_from("abc"), max_size=4))
    lines = ['name = "thing"', "version = 1", 'title = "Thing"', 'policy = "None."']
    lines += ['stages = ["early", "late"]', "[triggers]"]
    lines += [f'{trigger} = {{ stage = "{at}", means = "x" }}' for trigger, at in stages.items()]
    overrides = st.sampled_from(("true", "false"))
    transitions = ", ".join(
        f'{{ trigger = "{t}", source = "{s}", dest = "{d}", overrides = {draw(overrides)} }}'
        for (t, s), d in {**more, **taken}.items()
    )
    final = draw(st.sampled_from(("true", "false")))
    return "\n".join(
        [
            *lines,
            "[[states]]",
            'name = "thing"',
            'initial = "a"',
            'children = [{ name = "a" }, { name = "b", explained = true },'
            f' {{ name = "c", final = {final}, explained = true }}]',
            f"transitions = [{transitions}]",
        ]
    )


def made() -> st.SearchStrategy[Made]:
    """Definitions: the invented provider's next to those that ship."""
    word = st.sampled_from(TEXTS)
    rows = st.dictionaries(word, st.sampled_from(TRIGGERS), min_size=2, max_size=4)
    return st.builds(
        Made,
        zone=st.sampled_from(ZONES),
        # One may have for a key what decides in another.
        key=st.sampled_from((*IDS, *IDS, "KIND")),
        time=st.sampled_from(TIMES),
        words=st.tuples(st.sampled_from(WORDS), rows.map(lambda rows: tuple(rows.items()))),
        chart=thing_charts(),
        space=st.sampled_from(("", "", "other")),
        ignores=st.booleans(),
        reasons=st.sampled_from(
            (("status_details",), ("rest", "status_details"), ("rest", "state"))
        ),
        shipped=st.sampled_from(ZONES),
        shape=st.sampled_from(SHAPES),
        test=st.sampled_from(TESTS),
        several=st.sampled_from((False, False, True)),
        source=st.sampled_from((False, False, True)),
        formats=st.booleans(),
    )


# --- receipts ---

Leaves = Sequence[tuple[str, str]]


def xml(leaves: Leaves, indent: str = "", root: str = "MSG") -> bytes:
    """A flat message as XML."""
    inner = "".join(f"{indent}<{name}>{text}</{name}>" for name, text in leaves)
    return f"<{root}>{inner}</{root}>".encode()


def as_json(leaves: Leaves, indent: str = "") -> bytes:
    """A flat message as JSON; what looks like a number is one."""
    said = ", ".join(
        f'"{name}": {text if text.isdigit() else json.dumps(text)}' for name, text in leaves
    )
    return f"{{{indent}{said}}}".encode()


@st.composite
def leaves(draw: st.DrawFn) -> list[tuple[str, str]]:
    """The fields of a postback of the invented provider."""
    text, key, stamp = map(st.sampled_from, (NEAR, KEYS, STAMPS))
    said = [(name, draw(key)) for name in IDS]
    said += [(name, draw(text)) for name in WORDS]
    said += [(name, draw(stamp)) for name in TIMES]
    said += [("TO", draw(st.sampled_from(("16503333058", "16501112222"))))]
    said += [("SEQ", draw(st.sampled_from("12")))]
    dropped = draw(st.sampled_from((None, None, None, *dict(said))))
    kept = [(name, text) for name, text in said if name != dropped]
    twice = draw(st.sampled_from((None, None, None, None, "NOTE", "SEQ", "ID")))
    return [*kept, (twice, draw(text))] if twice else kept


@st.composite
def spoken(draw: st.DrawFn) -> bytes:
    """A postback of the invented provider, as XML or JSON, mostly plain."""
    said = draw(leaves())
    if draw(st.booleans()):
        return as_json(said, draw(st.sampled_from(("", " "))))
    body = xml(said, draw(st.sampled_from(("", "\n"))))
    if draw(st.integers(0, 9)) == 0:
        near = st.sampled_from((b"<!--x-->", b"<X><![CDATA[go]]></X>", b"<X>&#49;</X>", b"<X>1"))
        return body.replace(b"<MSG>", b"<MSG>" + draw(near))
    return body


@st.composite
def shaped(draw: st.DrawFn) -> bytes:
    """Postbacks of the invented provider in a list, or in a text of another."""
    around = draw(st.sampled_from(([], [("TO", "16501112222")], [("SEQ", "1")])))
    members = draw(st.lists(leaves(), min_size=0, max_size=3))
    if draw(st.booleans()):
        return xml([*around, *(("LIST", xml(one)[5:-6].decode()) for one in members)])
    told: object = [dict(one) for one in members]
    form = draw(st.sampled_from(("list", "one", "nested", "text", "plain text")))
    if members and form != "list":
        one = dict(members[0])
        told = {
            "one": one,
            "nested": [{"ID": "k1", "PARTS": told}, one],
            "text": [{**one, "NOTE": json.dumps(one)}],
            "plain text": [{**one, "NOTE": "<MSG><STATE>go</STATE><ID>k1</ID></MSG>"}],
        }[form]
    if form == "text" and members:
        return json.dumps({**dict(around), "NOTE": json.dumps(dict(members[0]))}).encode()
    return json.dumps({**dict(around), "LIST": told}).encode()


_NOTES = ("because", "<MSG><STATE>go</STATE><ID>k1</ID></MSG>", '{"STATE": "go"}', "[1]")


@st.composite
def alike(draw: st.DrawFn) -> list[bytes]:
    """Bodies of one kind, which differ in the texts that may decide what they say."""
    form = draw(st.sampled_from(("xml", "json", "list", "one", "xml list")))

    def body() -> bytes:
        said = [("ID", draw(st.sampled_from(KEYS))), ("AT", STAMPS[2]), ("TO", "16501112222")]
        said += [(name, draw(st.sampled_from(NEAR))) for name in ("STATE", "KIND")]
        note = draw(st.sampled_from(_NOTES)) if form in ("json", "list", "one") else "because"
        said.append(("NOTE", note))
        if form.startswith("xml"):
            return xml([("LIST", xml(said)[5:-6].decode())] if form == "xml list" else said)
        told = dict(said)
        return json.dumps(
            {"list": {"LIST": [told]}, "one": {"LIST": told}}.get(form, told)
        ).encode()

    return [body() for _ in range(draw(st.integers(2, 8)))]


@cache
def fixtures() -> tuple[bytes, ...]:
    """All bodies of the specification and of the generations."""
    return tuple(
        path.read_bytes()
        for pattern in ("specification/*.*ml", "generations/*/*", "api/*")
        for path in sorted(FIXTURES.glob(pattern))
    )


def bodies() -> st.SearchStrategy[bytes]:
    """Mostly the invented provider's; also those of the provider that ships, and nonsense."""
    return st.one_of(
        spoken(),
        spoken(),
        spoken(),
        shaped(),
        strategies.bodies(),
        st.lists(leaves().map(as_json), min_size=1, max_size=3).map(
            lambda members: b"[" + b",".join(members) + b"]"
        ),
        st.sampled_from(fixtures()),
    )


def moments() -> st.SearchStrategy[datetime]:
    """Times of reception, often equal."""
    return st.integers(0, 12).map(lambda s: MOMENT + timedelta(seconds=s))


def receipts(
    bodies_: st.SearchStrategy[bytes] | None = None,
) -> st.SearchStrategy[Receipt]:
    """Receipts of any bodies, in no order of their times."""
    return st.builds(
        Receipt,
        body=bodies() if bodies_ is None else bodies_,
        content_type=st.sampled_from((None, "text/xml", "application/json")),
        received_at=moments(),
        imported=st.just(True),
        # Of some the name is that of a vocabulary.
        source=st.sampled_from(("", "one", "made", "skycore")),
        sender=st.sampled_from((*[""] * 8, "basic", UNVERIFIED)),
    )


@st.composite
def arrived(
    draw: st.DrawFn, bodies_: st.SearchStrategy[bytes] | None = None, most: int = 7
) -> list[Receipt]:
    """Receipts, some of which come again: as they were, or as another attempt says the same."""
    found = draw(st.lists(receipts(bodies_), min_size=1, max_size=most))
    for again in draw(st.lists(st.sampled_from(found), max_size=4)):
        body = again.body
        if draw(st.booleans()):
            body = body.replace(b"<SEQ>1<", b"<SEQ>2<").replace(b'"SEQ": 1', b'"SEQ": 2')
        found.append(attrs.evolve(again, body=body, received_at=draw(moments())))
    return draw(st.permutations(found))
