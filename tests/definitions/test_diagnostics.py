"""Diagnostics: every fault is reported, whatever it is, in a line each."""

from __future__ import annotations

import json
import tomllib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from postledger.definitions import load_chart, load_vocabulary
from postledger.definitions.diagnostics import NAME, Faults, Table, content_hash, read_toml
from postledger.errors import DefinitionError
from tests.definitions.samples import CHART, JUNK, WORDS, places, toml


@given(st.sampled_from((CHART, WORDS)), st.data())
@settings(max_examples=300, deadline=None)
def test_any_fault_is_reported(source: str, data: st.DataObject) -> None:
    """Whatever stands anywhere in a file, it loads, or its faults are reported in a line each."""
    parsed = tomllib.loads(source)
    for _ in range(data.draw(st.integers(1, 2))):
        *path, last = data.draw(st.sampled_from(places(parsed)))
        holder = parsed
        for key in path:
            holder = holder[key]
        junk = data.draw(JUNK)
        if junk is None:
            del holder[last]
        else:
            holder[last] = json.loads(json.dumps(junk))
    changed = "\n".join(f"{key} = {toml(value)}" for key, value in parsed.items())
    load_one = load_chart if source == CHART else load_vocabulary
    faults: tuple[str, ...] = ()
    try:
        load_one(changed, where="file.toml")
    except DefinitionError as error:
        faults = error.faults
    assert all(fault.startswith("file.toml: ") and "\n" not in fault for fault in faults)
    assert not any("not TOML" in fault for fault in faults)


def test_faults_together() -> None:
    """Faults are noted one by one, and raised together in their order."""
    faults = Faults("mine.toml")
    faults.settle()
    faults.note("table", "is wrong", "write it right")
    assert faults.attempt(Table(faults, {"final": 1}, "states").flag, "final") is None
    assert faults.attempt(Table(faults, {}, "states").flag, "final") is False
    with pytest.raises(DefinitionError) as caught:
        faults.settle()
    assert caught.value.faults == (
        "mine.toml: table: is wrong; write it right",
        "mine.toml: states: final is 1; write true or false",
    )


def test_hash_of_the_content() -> None:
    """Comments, layout and the order of keys don't count in the hash, values do."""
    one = read_toml("a = 1\nb = [1, 2]", "one")
    assert content_hash(one) == content_hash(read_toml("b = [1,2] # two\n\na = 1", "other"))
    assert content_hash(one) != content_hash(read_toml("a = 1\nb = [2, 1]", "other"))


@pytest.mark.parametrize("name", ["a", "a1", "a_b", "a_"])
def test_name(name: str) -> None:
    """A name has lower-case letters, digits and single underscores, a letter first."""
    assert NAME.fullmatch(name)
    assert not any(
        NAME.fullmatch(bad) for bad in (f"_{name}", f"1{name}", name.upper(), f"{name}.")
    )
    assert not NAME.fullmatch(f"{name}__a")
