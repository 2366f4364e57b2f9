"""Stories and messages: every path is taken, every word is known, and memory stays flat."""

from __future__ import annotations

import random
import tomllib
from datetime import timedelta
from importlib.resources import files
from itertools import islice

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from postledger.definitions.definitions import builtin as definitions
from postledger.errors import DefinitionError, ReadError
from postledger.postback import Postback
from postledger.simulate import (
    ALL,
    Disturbances,
    Message,
    load_story,
    messages,
    read_story,
    simulate,
)
from postledger.simulate.corruption import spoil
from postledger.simulate.messages import START
from postledger.simulate.story import Form, builtin
from postledger.wire import read
from tests.definitions.samples import JUNK, places, toml

STORY = builtin()
TEXTS = {"tracking_id": "TU1TXzE=", "mms_id": "1", "to": "1650", "spid": "0001", "handset": "h",
         "aggregator_id": "a", "degrading": "too big", "failure": "a & b", "audio_name": "a.mp3",
         "video_name": "v.3gp"}  # fmt: skip


@pytest.mark.parametrize("generation", STORY.generations)
def test_every_word_is_known(generation: str) -> None:
    """What any generation says is read back as it was said, and understood as the story means it."""
    lexicon = definitions().lexicon
    for say in {
        say.name: say for path in STORY.paths for say in (*path.steps, *path.disputed)
    }.values():
        form = STORY.form(generation, say)
        postback = STORY.postback(generation, say, TEXTS, START)
        assert read(form.body(postback), form.content_type) == (postback,)
        reading = lexicon.read(postback)
        assert reading.recognised, (say.name, postback)
        assert reading.missing == ()
    for say in STORY.strangers:
        assert not lexicon.read(STORY.postback(generation, say, TEXTS, START)).recognised


def test_every_path_is_taken() -> None:
    """All paths are taken, in all generations, in about their shares."""
    taken = [message.truth for message in messages(STORY, 4000, seed=1)]
    assert {truth.path for truth in taken} == {path.name for path in STORY.paths}
    assert {truth.generation for truth in taken} == set(STORY.generations)
    share = sum(path.share for path in STORY.paths if path.name == "binary delivered")
    expected = 4000 * share / sum(path.share for path in STORY.paths)
    found = sum(truth.path == "binary delivered" for truth in taken)
    assert 0.8 * expected < found < 1.2 * expected


def test_specification_is_covered() -> None:
    """The paths say every code and status of the specification, as the specification has them."""
    said = {
        (words.get("code"), words.get("status"), words.get("sent_as"))
        for path in STORY.paths
        for words in (say.words["g1"] for say in (*path.steps, *path.disputed))
    }
    assert said >= {
        ("N201", "Message Sent", None),
        ("N201", "Message Failed", None),
        ("N202", "Message Sent/Delivered", None),
        ("N202", "Message Sent/Failed", None),
        ("N101", "Message Sent", "MMS"),
        ("N101", "Message Failed", "MMS"),
        ("N102", "Message Sent/Delivered", "MMS"),
        ("N102", "Message Sent/Expired", "MMS"),
        ("N102", "Message Sent/Rejected", "MMS"),
        ("N101", "Message Sent", "SMS"),
        ("N202", "Message Sent/Delivered", "SMS"),
        ("N202", "Message Sent/Failed", "SMS"),
        ("E101", "Message Failed", None),
        ("N003", None, None),
        ("E002", None, None),
    }


def test_memory_is_of_what_is_on_its_way() -> None:
    """Messages are made as they are asked for: few more have begun than what has come needs."""
    begun: list[Message] = []
    receipts = simulate(10**9, seed=1, disturbances=ALL, witness=begun.append)
    came = list(islice(receipts, 3000))
    last = max(receipt.received_at for receipt in came if receipt.received_at)
    assert begun[-1].began - last < timedelta(seconds=70)
    assert len(begun) < 3000


def test_order_of_arrival() -> None:
    """Receipts come in order of their arrival, however late some of them are."""
    moments = [
        r.received_at for r in simulate(300, disturbances=Disturbances(reordered=0.5, repeats=0.5))
    ]
    assert moments == sorted(moments)  # type: ignore[type-var]
    assert len(moments) > 900


@pytest.mark.parametrize("rate", [-0.1, 1.1])
def test_rates_are_bounded(rate: float) -> None:
    """A rate lies between 0 and 1."""
    with pytest.raises(ValueError, match="lost"):
        Disturbances(lost=rate)


@pytest.mark.parametrize("form", STORY.forms.values(), ids=lambda form: form.name)
def test_spoiled(form: Form) -> None:
    """A spoiled body is unreadable, unless it is one that is repaired, which says the same."""
    postback = Postback(form.root, (("code", "N201"), ("tracking-id", "x"), ("to", "1")))
    for seed in range(60):
        spoiled = spoil(form, postback, random.Random(seed))
        assert spoiled.body != form.body(postback)
        try:
            (found,) = read(spoiled.body, form.content_type)
        except ReadError:
            assert not spoiled.readable
        else:
            assert spoiled.readable
            assert found == attrs.evolve(postback, repaired=True)


FAULTS = {
    'root = "NOTIFICATION"': ("rut = 1", "forms.nested: root is missing; write root"),
    'zone = "-04"': ('zone = "x"', "forms.nested: zone is 'x'; write \"Z\" or an offset"),
    'postback = "nested"': (
        'postback = "nest"',
        "generations.g0: postback names the unknown 'nest'; write one of nested, flat",
    ),
    "[[paths]]": ("[[pats]]", "paths: missing; write [[paths]] tables"),
    'steps = ["saved"]': ("steps = []", 'paths[18]: no steps; write steps = ["…"]'),
    'says = ["reply", "unlisted"]': (
        'says = ["reply", "x"]',
        "strangers: says names the unknown 'x'",
    ),
    'all = { origin = "MMS_MT", code = "N003" }': (
        "",
        "says.saved: all is missing; write it as a table, all = { … }",
    ),
}


@pytest.mark.parametrize("old", FAULTS)
def test_fault(old: str) -> None:
    """A story that is wrong is refused with its place and what to write."""
    source = (files("postledger.statecharts") / "simulation" / "skycore.toml").read_text("utf-8")
    assert old in source
    new, message = FAULTS[old]
    with pytest.raises(DefinitionError) as caught:
        load_story(source.replace(old, new), where="story.toml")
    assert str(caught.value).startswith(f"story.toml: {message}")


def test_no_file() -> None:
    """A story that can't be read is an error of one line."""
    with pytest.raises(
        DefinitionError, match=r"nowhere\.toml: can't be read: .*; name a TOML file"
    ):
        read_story("nowhere.toml")


@given(st.data())
@settings(max_examples=200, deadline=None)
def test_any_fault_is_told(data: st.DataObject) -> None:
    """Whatever stands in a story, it loads or is refused in a line."""
    source = (files("postledger.statecharts") / "simulation" / "skycore.toml").read_text("utf-8")
    parsed = tomllib.loads(source)
    *path, last = data.draw(st.sampled_from(places(parsed)))
    holder = parsed
    for key in path:
        holder = holder[key]
    holder[last] = data.draw(JUNK.filter(lambda junk: junk is not None))
    said = ""
    try:
        load_story(
            "\n".join(f"{key} = {toml(held)}" for key, held in parsed.items()), where="story.toml"
        )
    except DefinitionError as error:
        said = str(error)
    assert not said or (
        said.startswith("story.toml: ") and "\n" not in said and "not TOML" not in said
    )
