"""The report: the figures as a table for people and as JSON for programs."""

from __future__ import annotations

import json
import platform
import sqlite3
from collections.abc import Sequence
from typing import TYPE_CHECKING

import attrs
from tabulate import tabulate

from benchmarks.measure import Figure

if TYPE_CHECKING:
    # The growth is measured beside peers, which are an extra.
    from benchmarks.growth import Stage


def table(figures: Sequence[Figure]) -> str:
    """One line a figure."""
    rows = [
        (
            figure.name,
            f"{_number(figure.ours)} {figure.unit}",
            figure.beside or "",
            "" if figure.theirs is None else _number(figure.theirs),
            "" if figure.ratio is None else f"{figure.ratio:.2f}",
            figure.goal or "",
            {True: "met", False: "NOT MET", None: ""}[figure.met],
        )
        for figure in figures
    ]
    heads = ("figure", "ours", "beside", "theirs", "ratio", "goal", "")
    return tabulate(rows, heads, disable_numparse=True, colalign=("left", "right", "left", "right"))


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}"


def document(figures: Sequence[Figure], stages: Sequence[Stage]) -> str:
    """All that was measured, and on what."""
    return json.dumps(
        {
            "python": platform.python_version(),
            "sqlite": sqlite3.sqlite_version,
            "machine": platform.machine(),
            "figures": [attrs.asdict(figure) | {"ratio": figure.ratio} for figure in figures],
            "growth": [attrs.asdict(stage) for stage in stages],
        },
        indent=2,
        ensure_ascii=False,
    )
