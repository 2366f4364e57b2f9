"""A file of the one kind that is given as the other."""

from __future__ import annotations

from pathlib import Path

import pytest

from postledger.definitions import builtin
from postledger.errors import DefinitionError

SHIPPED = Path(__file__).parent.parent.parent / "statecharts"


def test_a_vocabulary_given_as_a_chart_is_told() -> None:
    """The message says what the file is, not which of its keys no chart has."""
    path = SHIPPED / "vocabulary" / "skycore.toml"
    with pytest.raises(DefinitionError, match="this is a vocabulary, not a chart"):
        builtin().with_files(charts=path)


def test_a_chart_given_as_a_vocabulary_is_told() -> None:
    """The same the other way round."""
    with pytest.raises(DefinitionError, match="this is a chart, not a vocabulary"):
        builtin().with_files(vocabulary=SHIPPED / "delivery.toml")
