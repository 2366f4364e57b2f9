"""The documentation runs in the tests: README, docs/, and the examples in docstrings.

Of a Markdown page the fenced blocks run from top to bottom, in a new folder with `fixtures` in it:

- `python`: executed, or a doctest where it begins with `>>>`; the blocks of a page share their names.
- `console`: lines with `$ ` go to the shell (`> ` continues one), and what stands below must be what
  they print. `...` stands for anything on its line, a line of nothing else for any lines. One that
  ends with ` &` runs until the page ends or `kill %1`, and prints a line at once; port 8000 stands for a
  free one.
- any block whose info line ends with `file=NAME` is written to that file.

The page on PostgreSQL has a server of its own, which its commands find by libpq's variables.

A comment `<!-- skip: next -->` leaves the next block out; blocks of other languages are text.

The examples in docstrings find all public names, `ledger`, a ledger of the specification's samples,
and `body`, one of these.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from doctest import ELLIPSIS, NORMALIZE_WHITESPACE
from pathlib import Path
from subprocess import Popen
from typing import Any
from unittest import SkipTest

import pytest
from sybil import Document, Example, Region, Sybil
from sybil.document import PythonDocStringDocument
from sybil.parsers.markdown import CodeBlockParser, PythonCodeBlockParser, SkipParser
from sybil.parsers.markdown.lexers import FencedCodeBlockLexer
from sybil.parsers.rest import DocTestParser
from sybil.sybil import SybilCollection
from tests import spark_cluster
from tests.postgres_server import missing, postgres_server
from tests.shell import commands, difference, free_port, printed, started

import postledger

ROOT = Path(__file__).parent

# GNU readline, which pytest loads, tells each process that it starts of a terminal of 80 columns.
for name in ("COLUMNS", "LINES"):
    os.environ.pop(name, None)

# What the tests start finds pandas where it runs Spark alone.
os.environ["PYTHONPATH"] = os.pathsep.join(
    [str(ROOT / "tests/hidden"), *filter(None, [os.environ.get("PYTHONPATH")])]
)

FLAGS = ELLIPSIS | NORMALIZE_WHITESPACE


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Iterator[Any]:
    """In CI all that tests need is there: a test that is skipped has failed."""
    report = yield
    if report.skipped and "POSTLEDGER_CI" in os.environ:
        report.outcome, report.longrepr = "failed", f"skipped in CI: {report.longrepr[-1]}"
    return report


def enter(namespace: dict[str, Any]) -> None:
    """Begin a page: in a new folder, and with this Python's commands first."""
    namespace["_back"] = Path.cwd()
    folder = Path(tempfile.mkdtemp(prefix="postledger-docs-"))
    (folder / "fixtures").symlink_to(ROOT / "fixtures")
    os.chdir(folder)


def enter_module(namespace: dict[str, Any]) -> None:
    """Begin a module: what its docstrings take as given."""
    enter(namespace)
    samples = [path.read_bytes() for path in sorted(Path("fixtures/specification").glob("*.xml"))]
    ledger = postledger.Ledger("specification.db")
    ledger.record_many(samples)
    namespace.update({name: getattr(postledger, name) for name in postledger.__all__})
    namespace.update(ledger=ledger, body=samples[3])


def leave(namespace: dict[str, Any]) -> None:
    """End a page or a module."""
    for server in namespace.get("_servers", ()):
        end(server)
    if "_postgres" in namespace:
        namespace["_postgres"].close()
    if "ledger" in namespace:
        namespace["ledger"].close()
    folder = Path.cwd()
    os.chdir(namespace["_back"])
    shutil.rmtree(folder, ignore_errors=True)


def end(server: Popen[str]) -> None:
    """End a server, and wait for it."""
    server.terminate()
    server.communicate(timeout=60)


def run_console(example: Example) -> str | None:
    """Run the commands of a console block; what differs from the page is the failure."""
    failures = (
        difference(command, expected, ran(example, command))
        for command, expected in commands(str(example.parsed))
    )
    return "\n".join(filter(None, failures)) or None


def ran(example: Example, command: str) -> str:
    """What a command of a page prints; a server goes on."""
    if command.startswith("curl ") and shutil.which("curl") is None:
        raise SkipTest("curl is not installed")
    namespace = example.namespace
    if Path(example.path).name == "spark.md" and (lacking := spark_cluster.missing()) is not None:
        raise SkipTest(lacking)
    if Path(example.path).name == "postgres.md" and "_postgres" not in namespace:
        namespace["_postgres"] = serve_postgres()
    if command == "kill %1":
        # A shell that has no other job gives the next one this number again.
        end(namespace["_servers"].pop())
        return ""
    if command.endswith(" &"):
        namespace["_port"] = free_port()
        server = started(f"{command.removesuffix(' &')} --port {namespace['_port']}")
        namespace.setdefault("_servers", []).append(server)
        said = server.stdout.readline()
    else:
        said = printed(command.replace("localhost:8000", f"localhost:{namespace.get('_port')}"))
    return said.replace(f":{namespace.get('_port')}", ":8000")


def serve_postgres() -> ExitStack:
    """Start a PostgreSQL that commands take where an address names none."""
    if (lacking := missing()) is not None:
        raise SkipTest(lacking)
    with ExitStack() as stack:
        server = stack.enter_context(postgres_server())
        patch = stack.enter_context(pytest.MonkeyPatch.context())
        for name, value in server.environment().items():
            patch.setenv(name, value)
        return stack.pop_all()


def files(document: Document) -> Iterable[Region]:
    """The blocks that are files."""
    for region in FencedCodeBlockLexer(r"\w+ file=\S+", {"language": "info", "source": "source"})(
        document
    ):
        region.parsed = (region.lexemes["info"].rpartition("=")[2], region.lexemes["source"])
        region.evaluator = write_file
        yield region


def write_file(example: Example) -> None:
    """Write a block to the file that it is."""
    name, text = example.parsed
    Path(name).write_text(str(text), "utf-8")


pages = Sybil(
    parsers=[
        PythonCodeBlockParser(doctest_optionflags=FLAGS),
        CodeBlockParser("console", run_console),
        files,
        SkipParser(),
    ],
    pattern="*.md",
    setup=enter,
    teardown=leave,
)

docstrings = Sybil(
    parsers=[DocTestParser(optionflags=FLAGS)],
    pattern="*.py",
    path="engine",
    document_types={".py": PythonDocStringDocument},
    setup=enter_module,
    teardown=leave,
)

pytest_collect_file = SybilCollection([pages, docstrings]).pytest()
