"""One postback in bodies that are cut in two ways."""

from __future__ import annotations

from itertools import permutations
from pathlib import Path

import pytest

from postledger import Ledger
from postledger.definitions import builtin, define, load_vocabulary
from postledger.definitions.definitions import Definitions

_WORDS = """
name = "{name}"
version = 1
{each}
roots = [""]
[fields]
message = "results/id"
status = "results/status"
mine = "results/{name}"
timestamp = "results/at"
[timestamps]
field = "timestamp"
[[postbacks]]
section = "Outcome"
match = {{ status = "done", mine = true }}
chart = "delivery"
key = "message"
undated = true
means = [{{ trigger = "{trigger}" }}]
"""

RESULT = '{"id": "1", "status": "done", "one": 1, "other": 1}'
ALONE = f'{{"results": [{RESULT}]}}'.encode()
BUNDLED = f'{{"results": [{RESULT}, {RESULT.replace("1", "2", 1)}]}}'.encode()


def both() -> Definitions:
    """One vocabulary cuts bodies at a path, the other doesn't; each asks for a field of its own."""
    one = _WORDS.format(name="one", each='each = "results"', trigger="delivered")
    other = _WORDS.format(name="other", each="", trigger="failed")
    shipped = builtin()
    own = [load_vocabulary(one), load_vocabulary(other)]
    return define(shipped.charts.values(), [*shipped.vocabularies, *own])


@pytest.mark.parametrize("bodies", [*permutations([ALONE, BUNDLED])], ids=["alone", "bundled"])
def test_what_a_postback_says_does_not_depend_on_which_came_first(
    tmp_path: Path, bodies: tuple[bytes, ...]
) -> None:
    """Two vocabularies know it alone, so that neither reads it; in a bundle only one of them does."""
    with Ledger(tmp_path / "a.db", definitions=both()) as ledger:
        for body in bodies:
            ledger.record(body, "application/json")
        found = {one.tracking_id: one for one in ledger.deliveries()}
        assert {key: one.state for key, one in found.items()} == {
            "1": "delivered",
            "2": "delivered",
        }
        assert {one.repeats for one in found.values()} == {0}
        assert "unrecognised" in found["1"].findings
        assert ledger.verify().ok


def test_a_result_in_another_bundle_repeats_the_first(tmp_path: Path) -> None:
    """How a body is cut takes no part in the identity where that changes nothing."""
    one = _WORDS.format(name="one", each='each = "results"', trigger="delivered")
    shipped = builtin()
    own = define(shipped.charts.values(), [*shipped.vocabularies, load_vocabulary(one)])
    with Ledger(tmp_path / "a.db", definitions=own) as ledger:
        ledger.record(ALONE, "application/json")
        ledger.record(BUNDLED, "application/json")
        delivery = ledger.delivery("1")
        assert (delivery.state, delivery.events, delivery.repeats) == ("delivered", 1, 1)
