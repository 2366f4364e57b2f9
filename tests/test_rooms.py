"""The rooms: who may import whom, where SQL stands, and how large anything may be."""

from __future__ import annotations

import ast
import re
import sys
from collections import Counter
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from postledger import Ledger
from postledger.definitions import builtin, providers, shipped
from postledger.definitions.vocabulary import Vocabulary
from tests.samples import delivered, sent

ROOT = Path(__file__).parent.parent
ENGINE = ROOT / "engine"
MODULES = sorted(ENGINE.rglob("*.py"))

GROUND = {
    "errors",
    "lock",
    "model",
    "times",
    "findings",
    "templates",
    "postback",
    "progress",
    "arguments",
    "phone",
    "keys",
    "address",
}
ORDER = (
    "ground", "wire", "definitions", "store", "log", "state", "projections", "verify", "audit",
    "invoices", "alerts", "export", "lake", "ledger", "server", "console", "simulate", "cli",
)  # fmt: skip
"""A package imports only from those before it."""

APART = {"wire", "definitions", "log"}
"""These never import each other."""

MOST_MODULES = 15
LONGEST_FUNCTION = 47

LOG_TABLES = ("events", "envelopes", "templates", "nodes", "head")
DERIVED_TABLES = (
    "generations",
    "checkpoints",
    r"states_\w*",
    r"index_\w*",
    r"tallies_\w*",
    r"search_\w*",
)


def name_of(path: Path) -> str:
    """The dotted name of a module of the engine."""
    return ".".join(path.relative_to(ENGINE).with_suffix("").parts).removesuffix(".__init__")


NAMES = {name_of(module) for module in MODULES}


def room_of(name: str) -> str | None:
    """The room of a module; ``None`` for the package itself and ``__main__``."""
    _, *rest = name.split(".")
    if not rest or rest[0] == "__main__":
        return None
    return "ground" if rest[0] in GROUND else rest[0]


def imports_of(path: Path) -> set[str]:
    """The modules of the engine that a module imports."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            inner = {f"{node.module}.{alias.name}" for alias in node.names} & NAMES
            found |= inner or ({node.module} & NAMES)
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names} & NAMES
    return found - {name_of(path)}


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_a_room_imports_only_what_stands_before_it(path: Path) -> None:
    """So the tree can be read from the top of the list down."""
    room = room_of(name_of(path))
    if room is None:
        return
    assert room in ORDER
    for other in map(room_of, imports_of(path)):
        assert other in ORDER[: ORDER.index(room) + 1], f"{name_of(path)} imports {other}"
        assert room == other or not {room, other} <= APART
        assert room != "log" or other in ("log", "store", "ground")


def test_imports_have_no_circle() -> None:
    """The modules can be read in an order in which nothing needs what comes later."""
    graph = {name_of(path): imports_of(path) for path in MODULES}
    assert len(list(TopologicalSorter(graph).static_order())) == len(MODULES)


def test_no_room_is_crowded() -> None:
    """Only the command line has one file a command."""
    counts = Counter(path.parent.name for path in MODULES if path.name != "__init__.py")
    del counts["cli"]
    assert max(counts.values()) <= MOST_MODULES, counts


def test_no_function_is_long() -> None:
    """The longest of the tree before was that long, with its docstring."""
    for path in MODULES:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                length = (node.end_lineno or node.lineno) - node.lineno + 1
                assert length <= LONGEST_FUNCTION, f"{name_of(path)}.{node.name}: {length}"


def test_sqlite_has_one_place() -> None:
    """All others go through the store; projections of a user's own are given sqlite-utils."""
    assert users_of("(sqlite3|sqlite_utils)") == {
        "postledger.store.sqlite",
        "postledger.projections.custom",
    }


def users_of(library: str) -> set[str]:
    """The modules that import a library, at their head or where they need it."""
    pattern = re.compile(rf"^\s*(from|import) {library}\b", re.M)
    return {name_of(path) for path in MODULES if pattern.search(code_of(path))}


def test_postgresql_has_one_place() -> None:
    """What connects to a server, what it is told, and what its catalog says."""
    assert users_of("psycopg") == {
        f"postledger.store.{name}"
        for name in ("postgres", "pool", "refusals", "dialect", "catalog", "listening")
    }


def test_one_module_chooses_the_store() -> None:
    """All others are given one; only what is always in a file names that."""
    choosing = {
        name_of(path)
        for path in MODULES
        if imports_of(path) & {"postledger.store.sqlite", "postledger.store.postgres"}
    }
    assert choosing == {
        "postledger.store.opening",
        # Roles are of servers alone.
        "postledger.store.roles",
        # The outbox, and projections of a user's own, are in files.
        "postledger.server.outbox",
        "postledger.projections.custom",
    }


def test_no_statement_elsewhere_says_which_index_sqlite_reads() -> None:
    """The store does, in one method: of another store it returns nothing."""
    naming = {name_of(p) for p in MODULES if re.search(r"\bINDEXED\b", code_of(p))}
    assert naming == {"postledger.store.sqlite"}


def code_of(path: Path) -> str:
    """A module without its docstrings."""
    tree = ast.parse(path.read_text())
    lines = path.read_text().splitlines()
    kinds = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
    for node in ast.walk(tree):
        if isinstance(node, kinds) and ast.get_docstring(node, clean=False) is not None:
            first = node.body[0]
            for number in range(first.lineno - 1, first.end_lineno or first.lineno):
                lines[number] = ""
    return "\n".join(lines)


def sql_on(tables: tuple[str, ...]) -> set[str]:
    """The modules whose code has SQL on some tables."""
    words = r"\b(?:FROM|INTO|UPDATE|JOIN|TABLE|ON|EXISTS)"
    pattern = re.compile(rf"{words} (?:{'|'.join(tables)})\b")
    return {name_of(path) for path in MODULES if pattern.search(code_of(path))}


def test_sql_on_the_log_has_its_place() -> None:
    """Only ``log`` and ``verify`` name its tables."""
    found = {n for n in sql_on(LOG_TABLES) if not n.startswith("postledger.log.")}
    assert found <= {"postledger.verify"}


def test_sql_on_what_is_derived_has_its_place() -> None:
    """Only ``projections`` and ``verify`` name its tables."""
    found = {n for n in sql_on(DERIVED_TABLES) if not n.startswith("postledger.projections.")}
    assert found <= {"postledger.verify"}


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_python_names_no_provider_code(path: Path) -> None:
    """What a provider's codes mean stands in statecharts/ alone."""
    text = re.sub(r"# noqa.*", "", path.read_text())
    assert re.findall(r"\b[NE]\d{3}\b", text) == []


PLAIN_WORDS = {"", "+", "0", "1", "mms", "sms", "sending", "read", "unknown", "sent"}
"""Texts of conditions that are words of the field, or of Python: no provider's own."""

A_PROTOCOL = {"smpp"}
"""A name of a vocabulary that is the name of a standard, of which the engine reads a format."""


def words_of(vocabulary: Vocabulary) -> Iterator[str]:
    """The names, the words and the codes of a provider."""
    yield vocabulary.name
    for condition in vocabulary.conditions():
        yield from (*condition.texts, *condition.folds, *condition.prefixes)
    for codes in vocabulary.said.reasons.values():
        yield from codes


def test_python_names_no_provider() -> None:
    """Neither a provider's name, nor its words and codes: all of them are data."""
    triggers = {trigger for chart in builtin().charts.values() for trigger in chart.triggers}
    known = {word for name in providers() for word in words_of(shipped(name))}
    known = {one for one in known if one.lower() not in PLAIN_WORDS | A_PROTOCOL | triggers}
    assert len(known) > 500
    for path in MODULES:
        text = path.read_text()
        said = {
            node.value
            for node in ast.walk(ast.parse(text))
            if isinstance(node, ast.Constant) and isinstance(node.value, str)
        }
        assert not said & known, path
        # The examples of docstrings are of what is read where nobody chooses.
        names = set(providers()) - A_PROTOCOL - {v.name for v in builtin().vocabularies}
        assert not names & set(re.findall(r"\w+", text.lower())), path


@pytest.mark.parametrize(
    ("library", "places"),
    [
        ("xmltodict", {"postledger.wire.xml", "postledger.wire.write"}),
        ("transitions", {"postledger.definitions.chart", "postledger.definitions.chart_toml"}),
    ],
)
def test_a_library_has_one_place(library: str, places: set[str]) -> None:
    """XML is read and written in the wire, charts are built in one room."""
    users = {
        name_of(path)
        for path in MODULES
        if re.search(rf"^(from|import) {library}\b", path.read_text(), re.M)
    }
    assert users
    assert users <= places


MOST_ENTERED = 16
"""Next to the ground, of which values and words come from everywhere; two are the face of the stores."""


def test_a_warm_record_enters_few_modules(ledger: Ledger) -> None:
    """What a reader has to know to follow one call."""
    for key in "abcdefgh":
        ledger.record(sent(key))
        ledger.record(delivered(key))
    body = delivered("i")
    ledger.record(sent("i"))
    entered: set[str] = set()

    def trace(frame: FrameType, event: str, _: Any) -> None:
        name = frame.f_globals.get("__name__", "")
        if event == "call" and name.startswith("postledger."):
            entered.add(name)

    sys.setprofile(trace)
    try:
        recorded = ledger.record(body)
    finally:
        sys.setprofile(None)
    assert recorded.verdict == "applied"
    entered = {name for name in entered if room_of(name) != "ground"}
    assert len(entered) <= MOST_ENTERED, sorted(entered)
