"""Tests of the command line."""

from __future__ import annotations

from collections.abc import Callable

from click.testing import Result

from tests.conftest import FIXTURES

Run = Callable[..., Result]
SAMPLES = sorted((FIXTURES / "specification").glob("*.xml"))
