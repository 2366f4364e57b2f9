"""The project keeps its own rules."""

from __future__ import annotations

import tomllib
from pathlib import Path

ROOT = Path(__file__).parent.parent
ENGINE = ROOT / "engine"


def name_of(path: Path) -> str:
    """The dotted name of a module of the engine."""
    return ".".join(path.relative_to(ENGINE).with_suffix("").parts).removesuffix(".__init__")


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
