"""Definitions: charts and vocabularies put together, from files, and what is wrong with them."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from postledger import Ledger
from postledger.definitions.chart_toml import load_chart
from postledger.definitions.definitions import builtin, check, define, from_sources, load, sources
from postledger.definitions.vocabulary_toml import load_vocabulary
from postledger.errors import DefinitionError, DefinitionsDiffer
from tests.test_charts import GOOD as CHART
from tests.test_vocabulary import GOOD as WORDS

SHIPPED = Path(__file__).parents[1] / "statecharts"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a chart and a vocabulary that fit."""
    made = tmp_path / "parcels"
    made.mkdir()
    (made / "parcel.toml").write_text(CHART)
    (made / "words.toml").write_text(WORDS)
    (made / "notes.txt").write_text("not read")
    return made


def test_load(folder: Path) -> None:
    """A folder holds charts and vocabularies, and nothing that ships comes with them."""
    loaded = load([folder])
    assert list(loaded.charts) == ["parcel"]
    assert [vocabulary.name for vocabulary in loaded.vocabularies] == ["parcels"]
    assert load([str(folder / "words.toml"), folder / "parcel.toml"]).hash == loaded.hash


def test_kinds(tmp_path: Path) -> None:
    """A vocabulary is known by its postbacks, not by what a remark says."""
    (tmp_path / "chart.toml").write_text("# no [[postbacks]] here\n" + CHART)
    assert list(load([tmp_path]).charts) == ["parcel"]


def test_sources() -> None:
    """The texts of the definitions give back the definitions: what a ledger keeps is enough."""
    known = builtin()
    again = from_sources(sources(known))
    assert again.hash == known.hash
    assert again.label == known.label


def test_builtin_is_right() -> None:
    """What ships has no fault, taken file by file or together."""
    assert check([SHIPPED, SHIPPED / "vocabulary"]) == []
    shipped = [*SHIPPED.glob("*.toml"), *SHIPPED.glob("vocabulary/*.toml")]
    assert all(check([path]) == [] for path in shipped)


def test_order_does_not_matter() -> None:
    """The hash of definitions does not depend on the order in which they were given."""
    known = builtin()
    turned = define(reversed(known.charts.values()), reversed(known.vocabularies))
    assert turned.hash == known.hash


def test_replace() -> None:
    """Given charts and vocabularies stand in place of those of the same name."""
    known = builtin()
    source = known.charts["delivery"].source.replace("version = 1", "version = 2", 1)
    newer = known.with_charts([load_chart(source)])
    assert (newer.charts["delivery"].version, len(newer.charts)) == (2, len(known.charts))
    assert newer.hash != known.hash
    words = known.vocabularies[-1]
    spoken = known.with_vocabularies([load_vocabulary(words.source.replace("= 1", "= 2", 1))])
    assert len(spoken.vocabularies) == len(known.vocabularies)
    assert spoken.hash != known.hash


def test_with_files(folder: Path) -> None:
    """Files of a chart and of a vocabulary come beside what ships."""
    more = builtin().with_files([folder / "parcel.toml"], [folder / "words.toml"])
    assert more.charts.keys() - builtin().charts.keys() == {"parcel"}
    with pytest.raises(DefinitionError, match=r"nowhere\.toml: can't be read: .*; name a TOML"):
        builtin().with_files([folder / "nowhere.toml"])


def test_unfit() -> None:
    """A vocabulary that names a chart or trigger that there isn't is refused, all of it at once."""
    with pytest.raises(DefinitionError) as caught:
        define([], [load_vocabulary(WORDS, where="words.toml")])
    assert caught.value.faults == (
        "words.toml: postbacks[1] (Posted): chart 'parcel' is unknown; the charts are ",
        "words.toml: postbacks[2] (Lost): chart 'parcel' is unknown; the charts are ",
    )
    eaten = WORDS.replace('trigger = "posted"', 'trigger = "eaten"')
    with pytest.raises(DefinitionError) as caught:
        define([load_chart(CHART)], [load_vocabulary(eaten, where="words.toml")])
    assert caught.value.faults == (
        "words.toml: postbacks[1] (Posted): chart 'parcel' has no trigger 'eaten';"
        " the triggers are posted, lost",
    )


def test_names_are_unique() -> None:
    """Two charts, or two vocabularies, of one name are refused: one would hide the other."""
    chart, words = load_chart(CHART), load_vocabulary(WORDS)
    with pytest.raises(DefinitionError, match="chart 'parcel': two files have that name; give"):
        define([chart, chart], [])
    with pytest.raises(DefinitionError, match="vocabulary 'parcels': two files have that name"):
        define([chart], [words, words])


def test_clash(folder: Path) -> None:
    """Two vocabularies that know the same postbacks are refused: all of those would be unrecognised."""
    copy = WORDS.replace('name = "parcels"', 'name = "packets"')
    (folder / "copy.toml").write_text(copy)
    clash = (
        "postbacks[1] (Posted): matches the same postbacks as {}: postbacks[1] (Posted); add a"
        " condition in which they differ, or give the vocabulary the name of the other to take its"
        " place"
    )
    one, other = folder / "copy.toml", folder / "words.toml"
    assert check([folder])[0] == f"{one}: {clash.format(other)}"
    with pytest.raises(DefinitionError, match="matches the same postbacks"):
        load([folder])
    one.write_text(copy.replace('"P1"', '"P7"').replace('{ not = "P7" }', '"P8"'))
    other.write_text(WORDS.replace('{ not = "P1" }', '"P2"'))
    assert check([folder]) == []


def test_clash_with_what_ships(tmp_path: Path) -> None:
    """A changed copy of what ships takes its place by its name, and clashes under another."""
    shipped = next(v for v in builtin().vocabularies if v.name == "skycore")
    path = tmp_path / "mine.toml"
    path.write_text(shipped.source.replace("version = 1", "version = 2", 1))
    assert check([path]) == []
    path.write_text(shipped.source.replace('name = "skycore"', 'name = "mine"', 1))
    assert len(check([path])) == len(shipped.entries)
    with pytest.raises(DefinitionError, match="give the vocabulary the name of the other"):
        builtin().with_files(vocabulary=[path])


def test_check(folder: Path) -> None:
    """Checking tells every fault of every file, each with its path, and raises nothing."""
    assert check([folder]) == []
    (folder / "parcel.toml").write_text(CHART.replace('initial = "waiting"', 'initial = "asleep"'))
    (folder / "words.toml").write_text(WORDS.replace("version = 1", "version = 0"))
    (folder / "worse.toml").write_text("name =")
    (folder / "binary.toml").write_bytes(b"\xff\xfe\x00")
    found = check([folder, folder / "nowhere.toml"])
    assert [line.removeprefix(f"{folder}/").split(":")[0] for line in found] == [
        "binary.toml",
        "parcel.toml",
        "words.toml",
        "worse.toml",
        "nowhere.toml",
    ]
    assert all("; " in line or "not TOML" in line for line in found)
    assert not any("\n" in line for line in found)


def test_check_fit(folder: Path) -> None:
    """A vocabulary may name the charts beside it and those that ship, and no others."""
    words = WORDS.replace('chart = "parcel"', 'chart = "delivery"')
    words = words.replace('"posted" }', '"delivered" }').replace('"lost" }', '"failed" }')
    (folder / "words.toml").write_text(words)
    assert check([folder / "words.toml"]) == []
    (folder / "words.toml").write_text(words.replace('"delivered" }', '"arrived" }'))
    (line,) = check([folder / "words.toml"])
    assert "chart 'delivery' has no trigger 'arrived'; the triggers are created," in line
    (folder / "again.toml").write_text(CHART)
    assert check([folder])[0].startswith("chart 'parcel': two files have that name")


def test_ledger_by_own_definitions(folder: Path, tmp_path: Path) -> None:
    """A ledger folds by the definitions it is given, keeps them, and refuses others."""
    path = tmp_path / "parcels.db"
    with Ledger(path, definitions=load([folder])) as ledger:
        ledger.record(b"<PARCEL><CODE>P1</CODE><WORD>posted</WORD><NUMBER>007</NUMBER></PARCEL>")
        (step,) = ledger.timeline("007", chart="parcel")
        assert (step.trigger, step.after) == ("posted", {"parcel": "posted"})
    with Ledger(path) as ledger:
        assert list(ledger.definitions.charts) == ["parcel"]
        assert ledger.verify().ok
    with pytest.raises(DefinitionsDiffer):
        Ledger(path, definitions=builtin())


def toml(value: Any) -> str:
    """A value as inline TOML."""
    if isinstance(value, dict):
        return (
            "{ "
            + ", ".join(f"{json.dumps(key)} = {toml(held)}" for key, held in value.items())
            + " }"
        )
    if isinstance(value, list):
        return f"[{', '.join(map(toml, value))}]"
    return json.dumps(value)


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The paths to all that a value holds."""
    held = (
        value.items()
        if isinstance(value, dict)
        else enumerate(value)
        if isinstance(value, list)
        else ()
    )
    return [place for key, one in held for place in ((*path, key), *places(one, (*path, key)))]


_TEXTS = (None, "", "x", "a.b", "not")
_NUMBERS = (0, 1, -1, 2.5, True, False)
_HOLDERS: tuple[object, ...] = ([], {}, [[]], [{}], ["x", "x"], [1], {"x": 1}, {"not": 1})
JUNK = st.sampled_from((*_TEXTS, *_NUMBERS, *_HOLDERS))


@given(st.sampled_from((CHART, WORDS)), st.data())
@settings(max_examples=300, deadline=None)
def test_any_fault_is_told(source: str, data: st.DataObject) -> None:
    """Whatever stands anywhere in a file, it loads, or its faults are told in a line each."""
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
