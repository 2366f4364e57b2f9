"""The project keeps its own rules."""

from __future__ import annotations

import ast
import re
import tomllib
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

from tests.faults.without import PROTECTIONS, Without

ROOT = Path(__file__).parent.parent
ENGINE = ROOT / "engine"
MODULES = sorted(ENGINE.rglob("*.py"))


def name_of(path: Path) -> str:
    """The dotted name of a module of the engine."""
    return ".".join(path.relative_to(ENGINE).with_suffix("").parts).removesuffix(".__init__")


def imports_of(path: Path) -> set[str]:
    """The modules of the engine that a module imports."""
    names = {name_of(module) for module in MODULES}
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            inner = {f"{node.module}.{alias.name}" for alias in node.names} & names
            found |= inner or ({node.module} & names)
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names} & names
    return found - {name_of(path)}


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_python_names_no_provider_code(path: Path) -> None:
    """What a provider's codes mean stands in statecharts/ alone."""
    text = re.sub(r"# noqa.*", "", path.read_text())
    assert re.findall(r"\b[NE]\d{3}\b", text) == []


def test_imports_have_no_cycle() -> None:
    """The modules can be read in an order in which nothing needs what comes later."""
    graph = {name_of(path): imports_of(path) for path in MODULES}
    assert len(list(TopologicalSorter(graph).static_order())) == len(MODULES)


def test_nothing_imports_the_command_line() -> None:
    """The faces depend on the engine, never the other way round."""
    for path in MODULES:
        name = name_of(path)
        if not name.startswith("postledger.cli") and name != "postledger.__main__":
            assert not any(found.startswith("postledger.cli") for found in imports_of(path)), name


@pytest.mark.parametrize("library", ["xmltodict", "transitions"])
def test_a_library_has_one_place(library: str) -> None:
    """XML is read and written in the wire, charts are built in one module."""
    users = {
        name_of(p)
        for p in MODULES
        if re.search(rf"^(from|import) {library}\b", p.read_text(), re.M)
    }
    assert users <= {"postledger.wire.xml", "postledger.wire.write", "postledger.statechart"}


def test_all_packages_are_packaged() -> None:
    """Every folder with code or definitions is named in pyproject.toml, with its data."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    packages = {name_of(path.parent / "__init__.py") for path in ENGINE.rglob("__init__.py")}
    for path in (ROOT / "statecharts").rglob("__init__.py"):
        packages.add(".".join(("postledger", *path.parent.relative_to(ROOT).parts)))
    assert set(project["packages"]) == packages
    for package in packages:
        where = project["package-dir"].get(package)
        folder = ROOT / where if where else ENGINE / package.replace(".", "/")
        data = {p.suffix for p in folder.iterdir() if p.suffix in (".toml", ".html", ".md", ".css")}
        assert data <= {
            Path(pattern).suffix for pattern in project["package-data"].get(package, [])
        }


@pytest.mark.parametrize("without", PROTECTIONS, ids=lambda without: without.what)
def test_a_protection_is_where_it_is_said_to_be(without: Without) -> None:
    """What ``tests.faults.without`` takes away is there, once, and ``docs/faults.md`` lists it."""
    assert (ENGINE / "postledger" / without.file).read_text().count(without.text) == 1
    assert f"| {without.what} |" in (ROOT / "docs/faults.md").read_text()
