"""Definitions: charts and vocabularies put together, from files, and what is wrong with them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import postledger.definitions as room
from postledger.definitions import (
    builtin,
    check,
    define,
    from_sources,
    load,
    load_chart,
    load_vocabulary,
    providers,
    shipped,
    sources,
)
from postledger.definitions.chart import Statechart
from postledger.definitions.vocabulary import Vocabulary
from postledger.errors import DefinitionError, UnknownWord
from tests.definitions.samples import CHART, WORDS

SHIPPED = Path(__file__).parents[2] / "statecharts"


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


def test_providers_are_chosen_by_name() -> None:
    """Those that are chosen are read, whatever their order, and what the program states."""
    assert [one.name for one in builtin("skycore").vocabularies] == ["postledger", "skycore"]
    both = builtin(["sinch", "skycore"])
    assert both.hash == builtin(["skycore", "sinch", "skycore"]).hash == builtin().hash
    assert [one.name for one in builtin([]).vocabularies] == ["postledger"]
    assert builtin([]).charts == builtin().charts


@given(st.lists(st.sampled_from(providers()), max_size=4), st.sampled_from(providers()))
def test_to_add_a_provider_drops_none(names: list[str], more: str) -> None:
    """Whatever is in force stays, in any order; where two don't fit, that is said."""
    try:
        before = builtin(names)
        after = before.with_providers(more)
    except DefinitionError:
        return
    assert {*before.vocabularies} <= {*after.vocabularies}
    assert after.hash == builtin([more, *names]).hash
    assert after.charts == before.charts


def test_definitions_say_which_spaces_they_read_into() -> None:
    """A ledger without spaces takes any; one that has some takes these."""
    assert (builtin().spaces, builtin().reads_into("other")) == (("",), True)
    mixed = builtin().with_providers(["plivo", "infobip"])
    assert mixed.spaces == ("", "infobip", "plivo")
    assert mixed.reads_into("")
    assert not mixed.reads_into("plvio")
    assert not builtin("plivo").reads_into("")
    assert builtin([]).reads_into("")
    free = WORDS.replace("version = 1", 'version = 1\nspace = "own"\nspace_field = "word"')
    assert KNOWN.with_vocabularies([load_vocabulary(free)]).reads_into("anything")


@pytest.mark.parametrize("name", ["nobody", "postledger", "", "../delivery", "Skycore", "__init__"])
def test_an_unknown_provider(name: str) -> None:
    """What no provider's name is, is refused with the names that there are."""
    with pytest.raises(UnknownWord, match=r"unknown provider '.*': expected one of .*skycore"):
        builtin([name])


def test_a_provider_has_the_name_of_its_file() -> None:
    """Each of those that ship is found by its name, and reads what is received."""
    assert {"sinch", "skycore"} <= set(providers())
    assert [shipped(name).name for name in providers()] == list(providers())


def test_builtin_is_right() -> None:
    """What ships has no fault, taken file by file or together."""
    assert check([SHIPPED, SHIPPED / "vocabulary"]) == []
    there = [*SHIPPED.glob("*.toml"), *SHIPPED.glob("vocabulary/*.toml")]
    assert all(check([path]) == [] for path in there)


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
    """Files of a chart and of a vocabulary come next to what ships."""
    more = builtin().with_files([folder / "parcel.toml"], [folder / "words.toml"])
    assert more.charts.keys() - builtin().charts.keys() == {"parcel"}
    with pytest.raises(DefinitionError, match=r"nowhere\.toml: can't be read: .*; name a TOML"):
        builtin().with_files([folder / "nowhere.toml"])


def test_unfit() -> None:
    """A vocabulary that names a chart or trigger that there isn't is refused, all of it at once."""
    with pytest.raises(DefinitionError) as caught:
        define([], [load_vocabulary(WORDS, where="words.toml")])
    assert caught.value.faults == (
        "words.toml: postbacks[1] (Posted): chart 'parcel' is unknown; there are no charts",
        "words.toml: postbacks[2] (Lost): chart 'parcel' is unknown; there are no charts",
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
    """Checking reports every fault of every file, each with its path, and raises nothing."""
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
    """A vocabulary may name the charts next to it and those that ship, and no others."""
    words = WORDS.replace('chart = "parcel"', 'chart = "delivery"')
    words = words.replace('"posted" }', '"delivered" }').replace('"lost" }', '"failed" }')
    (folder / "words.toml").write_text(words)
    assert check([folder / "words.toml"]) == []
    (folder / "words.toml").write_text(words.replace('"delivered" }', '"arrived" }'))
    (line,) = check([folder / "words.toml"])
    assert "chart 'delivery' has no trigger 'arrived'; the triggers are created," in line
    (folder / "again.toml").write_text(CHART)
    assert check([folder])[0].startswith("chart 'parcel': two files have that name")


KNOWN = builtin().with_charts([load_chart(CHART)]).with_vocabularies([load_vocabulary(WORDS)])


@given(st.permutations(list(KNOWN.charts.values())), st.permutations(KNOWN.vocabularies))
def test_order_does_not_matter(
    some_charts: list[Statechart], vocabularies: list[Vocabulary]
) -> None:
    """Definitions are the same in whatever order their parts are given."""
    turned = define(some_charts, vocabularies)
    assert (turned.hash, turned.label) == (KNOWN.hash, KNOWN.label)
    assert sources(turned) == sources(KNOWN)
    assert list(turned.charts) == sorted(turned.charts)
    assert from_sources(reversed(sources(turned))).label == KNOWN.label


def test_charts_are_kept_by_name() -> None:
    """A chart that is given last comes where its name belongs."""
    early = load_chart(CHART.replace('name = "parcel"\nversion', 'name = "aaa"\nversion'))
    more = builtin().with_charts([early])
    assert list(more.charts) == ["aaa", *builtin().charts]


def test_clash_of_one_kind_only(folder: Path) -> None:
    """What a program states may look as what a provider sends: the two don't clash."""
    statements = 'name = "stated"\nreads = "statements"'
    (folder / "stated.toml").write_text(WORDS.replace('name = "parcels"', statements))
    assert check([folder]) == []
    assert len(load([folder]).vocabularies) == 2


def test_public_names() -> None:
    """The room says what it offers, and offers no more."""
    assert sorted(room.__all__) == room.__all__
    assert all(hasattr(room, name) for name in room.__all__)


def test_only_the_ground_is_imported() -> None:
    """The definitions import the ground and each other by full path, and nothing else."""
    ground = {"arguments", "errors", "model", "times", "findings", "keys", "postback"}
    for path in Path(str(room.__path__[0])).glob("*.py"):
        for module in re.findall(r"^ *from postledger(\S*) import", path.read_text(), re.M):
            inside = module.startswith(".definitions.")
            assert inside or module.removeprefix(".") in ground, (path.name, module)


def test_a_vocabulary_given_as_a_chart_is_reported() -> None:
    """The message says what the file is, not which of its keys a chart doesn't have."""
    with pytest.raises(DefinitionError, match="this is a vocabulary, not a chart"):
        builtin().with_files(charts=SHIPPED / "vocabulary" / "skycore.toml")


def test_a_chart_given_as_a_vocabulary_is_reported() -> None:
    """The same the other way round."""
    with pytest.raises(DefinitionError, match="this is a chart, not a vocabulary"):
        builtin().with_files(vocabulary=SHIPPED / "delivery.toml")
