"""What the tests of the command line share."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli import SAMPLES, Run


@pytest.fixture
def samples(run: Run, tmp_path: Path) -> Path:
    """A ledger of the samples of the specification."""
    path = tmp_path / "samples.db"
    assert run("ingest", path, *SAMPLES).exit_code == 0
    return path
