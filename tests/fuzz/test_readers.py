"""Fuzz of the readers with atheris, for some seconds; longer by hand: see ``tests/fuzz/readers.py``.

``POSTLEDGER_ATHERIS`` is the number of seconds (10 by default). It needs ``pip install atheris``.

Seen to fail: ``tests/faults/without.py`` takes away that unreadable bodies are kept.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.faults.traffic import PYTHONPATH

SECONDS = int(os.environ.get("POSTLEDGER_ATHERIS", "10"))


@pytest.mark.long
@pytest.mark.skipif(find_spec("atheris") is None, reason="atheris is not installed")
def test_no_body_that_coverage_leads_to_is_lost_or_raises(tmp_path: Path) -> None:
    """Neither a crash nor a hang nor a gigabyte, and each body is kept as the reader of record has it."""
    fuzz = [sys.executable, "-m", "tests.fuzz.readers", str(SECONDS)]
    # A child of this process begins with its peak of memory, and the fuzzer would stop at once where that
    # was a gigabyte; a child of the shell does not.
    done = subprocess.run(
        ["sh", "-c", '"$@"; exit $?', "sh", *fuzz],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": PYTHONPATH},
        capture_output=True,
        text=True,
        timeout=SECONDS + 120,
        check=False,
    )
    assert done.returncode == 0, (done.stderr[-2000:], list(tmp_path.iterdir()))
    assert list(tmp_path.iterdir()) == []
    assert re.search(r"^Done \d{3,} runs", done.stderr, re.M)
