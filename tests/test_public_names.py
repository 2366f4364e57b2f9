"""The public names: pinned, typed, told of, and each with an example (which runs in conftest.py)."""

from __future__ import annotations

import inspect
import subprocess
import sys
import types
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any, get_args, get_type_hints

import pytest

import postledger
import postledger.audit
from postledger import Ledger, PostledgerError

NAMES = """

    Address Alert Amount Anchor Appended Archive Archived AsyncLedger AsyncSubscription AuditReport
    Body Change Checkpoint Content Copied Count CountBy Cover
    DefinitionError Definitions DefinitionsDiffer Delivery Difference Discrepancy Event
    FilePath Finding Handler
    Health IntegrityError InvoiceRow InvoiceSums InvoiceTotals Kept Ledger LedgerBusy LedgerError Ledgers
    Limits NotALedger OpenDeliveries Place
    Postback PostledgerError Pressure Progress Projection ProjectionFailed Query ReadError Receipt
    Ratio Reconciled Recorded
    Retry Rules Silence StateChanged Statechart Step Stuck Subscription SubscriptionFailed Summary Tally
    TallyBy TallyOf Unreadable load_rules
    Then Timeline UnknownKey UnknownWord UNVERIFIED Verdict Verification Vocabulary __version__
"""
METHODS = """

    accept archive audit changes check checkpoints close content copy counts created definitions
    deliveries delivery differences events follow head health imported project query reconcile record
    record_batches record_many replay
    subscribe tallies timeline verified verify
"""
ALIASES = {
    *(
        "Body",
        "CountBy",
        "FilePath",
        "Handler",
        "Progress",
        "TallyBy",
        "TallyOf",
        "Then",
        "Timeline",
    ),
    *("UNVERIFIED", "__version__"),
}
"""Names of types that are put together, a word, and the version; what they are stands next to them."""


def members(kind: type) -> Iterator[tuple[str, Any]]:
    """The public methods and properties that a class has of its own."""
    for name, member in vars(kind).items():
        if name[0] != "_" and isinstance(member, types.FunctionType | property | classmethod):
            yield name, member


WORDS = {"Statechart", "Vocabulary"}
"""What these do is for the package; a program hands them on."""
OBJECTS = {name: getattr(postledger, name) for name in postledger.__all__ if name not in ALIASES}
MEMBERS = {
    f"{name}.{method}": member for name, kind in OBJECTS.items() for method, member in members(kind)
}


def test_the_public_names_are_these() -> None:
    """A name that comes or goes is a decision, and this list is where it is made."""
    assert sorted(postledger.__all__) == sorted(NAMES.split())
    constants_first = sorted(postledger.__all__, key=lambda name: (not name.isupper(), name))
    assert postledger.__all__ == constants_first


def test_the_methods_of_the_ledger_are_these() -> None:
    """So is a method of the class that programs embed."""
    assert {name for name, _ in members(Ledger)} == set(METHODS.split())


def test_nothing_else_is_public_by_accident() -> None:
    """What the package holds beside its public names are its modules."""
    others = {
        name: value
        for name, value in vars(postledger).items()
        if name[0] != "_" and name not in postledger.__all__
    }
    assert all(isinstance(value, types.ModuleType) for value in others.values()), others


@pytest.mark.parametrize("name", OBJECTS)
def test_every_public_name_has_a_docstring_with_an_example(name: str) -> None:
    """The example runs: conftest.py collects the docstrings."""
    assert ">>> " in (OBJECTS[name].__doc__ or "")


@pytest.mark.parametrize("name", METHODS.split())
def test_every_method_of_the_ledger_has_an_example(name: str) -> None:
    """The example runs likewise."""
    assert ">>> " in (getattr(Ledger, name).__doc__ or "")


@pytest.mark.parametrize("name", MEMBERS)
def test_every_public_method_is_told_of_and_typed(name: str) -> None:
    """It has a docstring, and a type for each parameter and for what it returns."""
    member = MEMBERS[name]
    function = member.fget if isinstance(member, property) else inspect.unwrap(member)
    assert function.__doc__
    typed = set(function.__annotations__)
    code = function.__code__
    parameters = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
    assert typed >= {*parameters} - {"self", "cls"} | {"return"}


def leaves(hint: Any) -> Iterator[type]:
    """The classes of the package that an annotation names."""
    for inner in get_args(hint):
        yield from leaves(inner)
    if inspect.isclass(hint) and hint.__module__.partition(".")[0] == "postledger":
        yield hint


@pytest.mark.parametrize("name", [name for name in MEMBERS if name.split(".")[0] not in WORDS])
def test_names_in_public_signatures_are_public(name: str) -> None:
    """Whoever annotates a program of their own imports them from the package."""
    member = MEMBERS[name]
    function = member.fget if isinstance(member, property) else inspect.unwrap(member)
    function = getattr(function, "__func__", function)
    for hint in get_type_hints(function).values():
        assert {kind.__name__ for kind in leaves(hint)} <= set(postledger.__all__)


def test_fields_of_a_report_can_be_annotated() -> None:
    """The class of each field, however deep, can be imported from the package or its audit."""
    open_, seen = [postledger.AuditReport], set()
    while open_:
        kind = open_.pop()
        assert kind.__name__ in {*postledger.__all__, *postledger.audit.__all__}
        seen.add(kind)
        if kind.__module__.startswith("postledger.audit."):
            found = {one for hint in get_type_hints(kind).values() for one in leaves(hint)}
            open_ += found - seen


def test_every_error_has_the_one_root() -> None:
    """Whoever catches the root catches all that is raised on purpose, and can import it."""
    from postledger import errors

    kinds = {name: kind for name, kind in vars(errors).items() if isinstance(kind, type)}
    assert all(issubclass(kind, PostledgerError) for kind in kinds.values())
    assert set(kinds) <= set(postledger.__all__)
    assert all(name in (errors.__doc__ or "") for name in kinds)


def test_types_are_shipped() -> None:
    """Type checkers of other programs read them."""
    assert files("postledger").joinpath("py.typed").is_file()


def test_a_program_of_another_is_checked_by_its_types(tmp_path: Path) -> None:
    """mypy strict knows what each call gives, awaited or not, and refuses what is wrong."""
    (tmp_path / "program.py").write_text(PROGRAM)
    command = [sys.executable, "-m", "mypy", "--strict", "--config-file=", "program.py"]
    done = subprocess.run(
        [*command, f"--cache-dir={tmp_path}"],
        cwd=tmp_path,
        env={"MYPYPATH": str(Path(postledger.__file__).parent.parent)},
        capture_output=True,
        text=True,
        check=False,
    )
    said = [line.partition(": ")[2] for line in done.stdout.splitlines()]
    revealed = [line for line in said if line.startswith("note: Revealed")]
    assert revealed == [
        'note: Revealed type is "postledger.model.Recorded"',
        'note: Revealed type is "postledger.model.Recorded"',
        'note: Revealed type is "postledger.model.Delivery"',
    ]
    errors = [line for line in said if line.startswith("error: ")]
    assert len(errors) == 2, done.stdout
    assert all("incompatible type" in line or "No overload" in line for line in errors)


PROGRAM = """
from postledger import AsyncLedger, Change, Ledger
from sqlite_utils import Database

class Mine:
    name = "mine"
    version = 1
    tables = {"mine": "n INTEGER"}

    def apply(self, change: Change, db: Database) -> None: ...

with Ledger("l.db", timeout=1) as ledger:
    reveal_type(ledger.record(b""))
    ledger.project(Mine())
    ledger.record("text")

async def main() -> None:
    async with AsyncLedger("l.db", timeout="soon") as ledger:
        reveal_type(await ledger.record(b""))
        async for delivery in ledger.deliveries(state="sent"):
            reveal_type(delivery)
"""
