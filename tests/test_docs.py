"""The documentation: complete, not stale, and without dead links. Its examples run in conftest.py."""

from __future__ import annotations

import os
import re
import runpy
import shutil
import sqlite3
import subprocess
import sys
import tomllib
from contextlib import closing
from fnmatch import fnmatch
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from postledger import DefinitionError, Ledger
from postledger.definitions.chart_toml import load_chart
from postledger.definitions.definitions import builtin
from postledger.definitions.vocabulary_toml import load_vocabulary
from postledger.findings import MEANINGS, Finding, names
from tests.conftest import FIXTURES
from tests.shell import commands, difference

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
README = ROOT / "README.md"
PAGES = [README, *sorted(DOCS.rglob("*.md"))]
GENERATE = runpy.run_path(str(DOCS / "generate.py"))


def page(name: str) -> str:
    """The text of a page."""
    return (DOCS / name).read_text("utf-8")


# --- what is generated ---


@pytest.mark.parametrize("name", GENERATE["PAGES"])
def test_generated_page_is_current(name: str) -> None:
    """A generated page is what its sources give now."""
    made = GENERATE["page"](GENERATE["PAGES"][name])
    assert page(name) == made, f"docs/{name} is stale: run `{GENERATE['COMMAND']}`"


@pytest.mark.parametrize(
    "file", sorted(FIXTURES.glob("providers/*/samples.toml")), ids=lambda file: file.parent.name
)
def test_page_of_a_provider_says_where_it_posts_and_what_is_unconfirmed(file: Path) -> None:
    """The address of the receiver, and each sample that no page of the provider shows."""
    name, text = file.parent.name, page(f"providers/{file.parent.name}.md")
    assert f"`https://YOUR-HOST/{name}`" in text
    told = re.findall(r"\[`([^`]+)`\]\([^)]*/fixtures/", text)
    samples = tomllib.loads(file.read_text("utf-8"))["samples"]
    assert told == [one["file"] for one in samples if not one["confirmed"]]


def test_index_of_providers_names_each_space() -> None:
    """Also where it is the common one."""
    text = page("providers/index.md")
    assert "``" not in text
    assert re.search(r"^\| \[`skycore`\].* \| common \|", text, re.M)


def test_the_reference_has_what_the_pages_import_of_the_server() -> None:
    """Each name, by its module: nobody has to read the source for what a page shows."""
    public = {
        (f"postledger.server.{module}".rstrip("."), name)
        for module, names in GENERATE["SERVER"].items()
        for name in names
    }
    public |= {("postledger.server", module) for module in GENERATE["SERVER"]}
    imported = {
        (module, name.strip())
        for path in PAGES
        for module, names in re.findall(
            r"^(?:>>> )?from (postledger\.server(?:\.\w+)?) import (.+)$",
            path.read_text("utf-8"),
            re.MULTILINE,
        )
        for name in names.split(",")
    }
    assert imported
    assert imported <= public


def test_check_names_stale_pages(tmp_path: Path) -> None:
    """The command tells which pages are stale, and writes them when asked."""
    docs = tmp_path / "docs"
    docs.mkdir()
    (docs / "reference").mkdir()
    shutil.copy(DOCS / "generate.py", docs)

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, str(docs / "generate.py"), *words]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    assert run("--check").returncode == 1
    assert "docs/reference/cli.md is stale" in run("--check").stdout
    assert run().returncode == 0
    assert run("--check").stdout == ""


def test_examples_of_async_methods_are_awaited() -> None:
    """None is one of the ledger for threads."""
    text = page("reference/api.md")
    of_async = re.findall(r"^### AsyncLedger\..*?(?=^##|\Z)", text, re.M | re.S)
    assert len(of_async) > 20
    assert not [one for one in of_async if ">>>" in one]
    assert ">>>" in text.partition("### Ledger.record\n")[2].partition("###")[0]


def test_files_of_a_ledger_are_not_committed() -> None:
    """Git ignores each file that can stand next to one."""
    own = ("", "-wal", "-shm", "-turn")
    names = (*own, *(f"-outbox{name}" for name in (*own, "-1.lock")))
    ignored = (ROOT / ".gitignore").read_text("utf-8").split()
    assert not [n for n in names if not any(fnmatch(f"try.db{n}", one) for one in ignored)]


# --- the README ---


def block_of(command: str) -> tuple[str, str]:
    """A command of the README's console blocks and what it prints there."""
    blocks = re.findall(r"^```console\n(.*?)^```", README.read_text("utf-8"), re.M | re.S)
    found = [pair for block in blocks for pair in commands(block) if pair[0] == command]
    assert len(found) == 1
    return found[0]


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A clone of the repository in which everything is installed already."""
    for name in ("Makefile", "pyproject.toml", "fixtures"):
        (tmp_path / name).symlink_to(ROOT / name)
    (tmp_path / ".venv").mkdir()
    (tmp_path / ".venv/bin").symlink_to(Path(sys.executable).parent)
    for mark in (".installed", ".tested"):
        (tmp_path / ".venv" / mark).touch()
    return tmp_path


def make(clone: Path, *words: str) -> str:
    """What make prints to whoever calls it first, also where make runs these tests."""
    mine = {name: text for name, text in os.environ.items() if not name.startswith("MAKE")}
    done = subprocess.run(
        ["make", *words],
        cwd=clone,
        env=mine,
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=True,
    )
    return done.stdout


needs_make = pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")


@needs_make
def test_demo_prints_what_the_readme_shows(clone: Path) -> None:
    """`make demo` prints what the README says."""
    _, expected = block_of("make demo")
    assert not difference("make demo", expected, make(clone, "demo"))


@needs_make
def test_test_command_is_that_of_the_readme(clone: Path) -> None:
    """`make test` runs the commands that the README shows, in that order, and no others."""
    _, expected = block_of("make test")
    shown = [line for line in expected.splitlines() if line.startswith(".venv/")]
    assert make(clone, "-n", "test").splitlines() == shown


def test_check_of_the_project_calls_the_readme_s_command() -> None:
    """`.ci/run` runs the command that the README says."""
    assert (ROOT / ".ci/run").read_text().rstrip().endswith("\nmake test")


def test_readme_is_one_reading() -> None:
    """The README stays short."""
    assert len(README.read_text("utf-8").splitlines()) <= 110


def test_readme_names_every_command() -> None:
    """The table of the README names every command, and none that there isn't."""
    table = re.findall(r"^\| `postledger ([a-z]+)", README.read_text("utf-8"), re.M)
    there = {path.split()[0] for path, _ in GENERATE["commands"]()}
    assert set(table) == there


# --- complete ---


def test_findings_are_all_told() -> None:
    """The page of findings has each with its bit and its meaning, and no other."""
    text = page("reference/findings-and-verdicts.md")
    rows = re.findall(r"^\| `(\w+)` \| (\d+) \| (.*?) \|", text, re.M)
    assert rows == [(names(f)[0], str(int(f)), MEANINGS[f]) for f in Finding]


def test_file_format_is_all_told(tmp_path: Path) -> None:
    """The page of the file format has a section of each table and view, with all its columns."""
    text = page("reference/file-format.md")
    Ledger(tmp_path / "new.db").close()
    with closing(sqlite3.connect(tmp_path / "new.db")) as db:
        listed = db.execute("SELECT type, name FROM sqlite_master WHERE name NOT LIKE 'sqlite_%'")
        for kind, own in listed.fetchall():
            name = re.sub(r"_\d+(?=_|$)", "_N", own)
            assert f"`{name}`" in text, f"{kind} {name}"
            if kind in ("table", "view"):
                section = re.search(rf"^### `{name}`\n(.*?)(?=^##|\Z)", text, re.M | re.S)
                assert section, name
                for (column,) in db.execute("SELECT name FROM pragma_table_info(?)", (own,)):
                    assert f"`{column}`" in section[1], f"{name}.{column}"


CHART: dict[str, Any] = {
    "": "",
    "triggers.t": "[triggers]\nt = {{ {} }}",
    "states": "[[states]]\n{}",
    "children": "[[states]]\nname='a'\nchildren=[{{ {} }}]",
    "transitions": (
        "stages=['s']\n[triggers]\nt={{stage='s'}}\n[[states]]\nname='a'\ninitial='b'\n"
        "children=[{{name='b'}}]\ntransitions=[{{ {} }}]"
    ),
}
VOCABULARY: dict[str, Any] = {
    "": "postbacks=[]\n{}",
    "timestamps": "[fields]\na='A'\n[timestamps]\n{}",
    "postbacks": "[fields]\na='A'\n[[postbacks]]\n{}",
}


def keys(load: Any, text: str) -> set[str]:
    """The keys that a loader accepts at a place, as its message for another one tells."""
    with pytest.raises(DefinitionError) as raised:
        load((text or "{}").format("surely_unknown = 1"))
    faults = "\n".join(raised.value.faults)
    listed = re.search(r"unknown key 'surely_unknown'; the keys are (.*)", faults)
    assert listed, faults
    return set(listed[1].split(", "))


@pytest.mark.parametrize(
    ("load", "text"),
    [(load_chart, text) for text in CHART.values()]
    + [(load_vocabulary, text) for text in VOCABULARY.values()],
)
def test_vocabulary_page_tells_every_key(load: Any, text: str) -> None:
    """The page of the TOML language tells every key that a loader accepts, in its table."""
    told = set(re.findall(r"^\| `(\w+)` \|", page("reference/vocabulary.md"), re.M))
    assert keys(load, text) <= told


# --- links ---


def anchors(text: str) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    text = re.sub(r"^```.*?^```", "", text, flags=re.M | re.S)
    heads = re.findall(r"^#+ (.*)$", text, re.M)
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(path: Path) -> None:
    """Every link of a page within the repository leads to a file, and to a heading that it has."""
    text = re.sub(r"^```.*?^```", "", path.read_text("utf-8"), flags=re.M | re.S)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if "://" in target or target.startswith("mailto:"):
            continue
        name, _, anchor = target.partition("#")
        there = (path.parent / name).resolve() if name else path
        assert there.exists(), target
        if anchor and there.suffix == ".md":
            assert anchor in anchors(there.read_text("utf-8")), target


def test_every_page_is_in_the_index() -> None:
    """From docs/index.md every page is one step away, or two over the index of the providers."""
    index = page("index.md") + page("providers/index.md").replace("](", "](providers/")
    for path in DOCS.rglob("*.md"):
        name = path.relative_to(DOCS).as_posix()
        assert name == "index.md" or f"({name})" in index, name


def test_picture_is_of_the_chart_that_ships() -> None:
    """The page says of which diagrams of the reference the picture was made: draw it anew for others."""
    chart = page("reference/charts.md").partition("\n## delivery\n")[2].partition("\n## ")[0]
    drawn = re.findall(r"```mermaid\n(.*?)```", chart, re.DOTALL)
    regions = builtin().charts["delivery"].regions
    assert len(drawn) == len(regions)
    shown = sha256("".join(drawn).encode()).hexdigest()[:16]
    design = page("explanation/design.md")
    assert f"the diagrams of the reference, {shown}" in design
    alt = design.partition("](../images/delivery.png)")[0].rpartition("![")[2]
    assert all(region.name in alt for region in regions)


RUN = {"python", "console"}
SHOWN = {"mermaid", "py", "pycon", "text"}
BY_HAND = re.compile(
    r"pip install |python3 -m venv |make |(\w+=\S+ )*python -m (pytest|benchmarks|tests)\b"
)


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_blocks_are_run_unless_there_is_nothing_to_run(path: Path) -> None:
    """A block runs, or is a file, or is only shown; a shell's installs, or runs the project's tests."""
    blocks = re.findall(r"^```([^\n`]+)\n(.*?)^```$", path.read_text("utf-8"), re.M | re.S)
    for info, text in blocks:
        if info in RUN | SHOWN or " file=" in info:
            assert info != "console" or text.startswith("$ "), text
        else:
            assert info == "sh", info
            lines = [line for line in text.splitlines() if line and not line.startswith("#")]
            assert path.name == "cli.md" or all(map(BY_HAND.match, lines)), text


def test_examples_of_help_use_what_there_is() -> None:
    """Every example of a command's help names a command that there is, and only options it has."""
    there = dict(GENERATE["commands"]())
    for path, command in there.items():
        options = {option for p in command.params for option in (*p.opts, *p.secondary_opts)}
        examples = re.findall(rf"postledger {path}(?![-\w])([^|>&]*)", command.epilog or "")
        assert examples, f"{path}: no example in its help"
        for example in examples:
            assert set(re.findall(r"--[a-z-]+", example)) <= options, example


def test_program_of_the_readme_runs_again(tmp_path: Path) -> None:
    """Whoever tries it twice has the same ledger, and no failed assertion."""
    found = re.search(r"^```python\n(.*?)^```", README.read_text("utf-8"), re.M | re.S)
    assert found
    (tmp_path / "program.py").write_text(found[1])
    (tmp_path / "fixtures").symlink_to(ROOT / "fixtures")
    for _ in range(2):
        subprocess.run([sys.executable, "program.py"], cwd=tmp_path, check=True)
