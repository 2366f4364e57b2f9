"""The files that the page of the server hands out: they hold together with the commands."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
from pathlib import Path

import click
import pytest

from postledger.cli.serve import serve
from postledger.server.senders_toml import load_senders
from tests.server import serving

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "docs/examples/service"


def parsed(words: list[str]) -> dict[str, object]:
    """The parameters of a command line of ``serve``; raises where it has none such."""
    with click.Context(serve) as context:
        serve.parse_args(context, list(words))
        return context.params


def test_senders_file_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the variables set that the page names, and no others."""
    text = re.sub("#.*", "", (EXAMPLES / "senders.toml").read_text())
    page = (ROOT / "docs/how-to/serve.md").read_text()
    names = set(re.findall(r"env:([A-Z_]+)", text))
    listed = re.search(r"reads its secrets from the\nvariables (.*?), and the", page, re.S)
    assert listed
    assert set(re.findall("[A-Z_]{3,}", listed[1])) == names
    for name in names:
        monkeypatch.setenv(name, f"{name.lower()}-secret")
    assert set(load_senders(EXAMPLES / "senders.toml").sources) == {"skycore", "sinch"}


def test_unit_and_image_run_a_command_that_there_is(tmp_path: Path) -> None:
    """With options that it has."""
    senders = tmp_path / "senders.toml"
    senders.touch()
    unit = (EXAMPLES / "postledger.service").read_text()
    image = (EXAMPLES / "Dockerfile").read_text()
    started = re.search(r"^ExecStart=\S+ serve (.*)$", unit, re.M)
    command = re.search(r"^CMD (.*)$", image, re.M)
    assert started
    assert command
    for words in (shlex.split(started[1]), json.loads(command[1])[1:]):
        given = [str(senders) if word.endswith("senders.toml") else word for word in words]
        assert parsed(given)["senders"] == senders


def test_image_copies_what_there_is_and_runs_without_root() -> None:
    """What is installed, and nothing of the repository's own."""
    image = (EXAMPLES / "Dockerfile").read_text()
    copied = [words.split()[:-1] for words in re.findall(r"^COPY (.*)$", image, re.M)]
    assert all((ROOT / name).exists() for names in copied for name in names)
    users = re.findall(r"^USER (.*)$", image, re.M)
    assert users == ["10001"]
    assert image.index("USER") < image.index("ENTRYPOINT")


def test_health_check_of_the_image_asks_the_server(tmp_path: Path) -> None:
    """It passes while the server lives, and fails where there is none."""
    image = (EXAMPLES / "Dockerfile").read_text()
    check = re.search(r"^HEALTHCHECK CMD (.*)$", image, re.M)
    assert check
    with serving(tmp_path / "deliveries.db") as server:
        command = [word.replace(":8000/", f":{server.port}/") for word in json.loads(check[1])]
        assert subprocess.run(command, check=False).returncode == 0
        server.stop()
    assert subprocess.run(command, check=False, stderr=subprocess.DEVNULL).returncode == 1
