"""One story, told by every generation of the wire."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from postledger.postback import Postback, plain
from postledger.wire import read

GENERATIONS = Path(__file__).parents[2] / "fixtures" / "generations"
STORY = json.loads((GENERATIONS / "story.json").read_text())


def said(postback: Postback) -> dict[str, str]:
    """The fields by the last part of their path, plain, in which the generations agree."""
    return {plain(path).rpartition("/")[2]: text for path, text in postback.fields}


def message(generation: str, number: int) -> Postback:
    told = STORY["generations"][generation]
    body = (GENERATIONS / generation / told["files"][number]).read_bytes()
    (postback,) = read(body, told["content_type"])
    assert isinstance(postback, Postback)
    return postback


@pytest.mark.parametrize("generation", sorted(STORY["generations"]))
@pytest.mark.parametrize("number", range(3))
def test_key_and_recipient(generation: str, number: int) -> None:
    """Every message of a generation names the delivery and its recipient in full."""
    fields = said(message(generation, number))
    assert fields["TRACKINGID"] == STORY["generations"][generation]["key"]
    assert fields["TO"] == STORY["to"]


@pytest.mark.parametrize("generation", sorted(STORY["generations"]))
def test_story(generation: str) -> None:
    """Creation, degrading with its reason, and delivery are told in that order."""
    created, degraded, delivered = (message(generation, number) for number in range(3))
    assert plain(created.root) == "RESPONSE"
    assert said(degraded)["STATUSDETAILS"] == STORY["reason"]
    assert {said(postback)["SENTAS"] for postback in (degraded, delivered)} == {"SMS"}
    assert STORY["spid"] in {said(delivered).get("SPID"), said(delivered).get("OPERATORID")}


def test_keys_are_distinct() -> None:
    """Each generation has a delivery of its own."""
    assert len({told["key"] for told in STORY["generations"].values()}) == 4


def test_bundle() -> None:
    """A bundle holds the messages in their order, and a repeat has the digest of the first."""
    members = read((GENERATIONS / STORY["bundle"]["file"]).read_bytes())
    postbacks = [member for member in members if isinstance(member, Postback)]
    assert [said(postback)["TRACKINGID"] for postback in postbacks] == STORY["bundle"]["keys"]
    assert postbacks[0].digest() == message("g0", 1).digest()
    assert postbacks[2].digest() == message("g0", 2).digest()
    assert postbacks[0].attributes != message("g0", 1).attributes
    assert dict(postbacks[3].fields)["BODY/STATUS@PROTOCOL"] == "4"
