"""Findings and verdicts: each has a public word and a meaning."""

from __future__ import annotations

import pytest

from postledger.findings import MEANINGS, VERDICT_MEANINGS, Finding, Verdict, named, names


def test_each_has_a_meaning() -> None:
    """There is a sentence for each finding and for each verdict."""
    assert list(MEANINGS) == list(Finding)
    assert list(VERDICT_MEANINGS) == list(Verdict)
    sentences = (*MEANINGS.values(), *VERDICT_MEANINGS.values())
    assert all(sentence.endswith(".") for sentence in sentences)


@pytest.mark.parametrize("verdict", Verdict)
def test_verdict_is_its_word(verdict: Verdict) -> None:
    """A verdict is its public word, wherever a text is wanted."""
    assert verdict == verdict.name.lower() == str(verdict)


@pytest.mark.parametrize("finding", Finding)
def test_words_of_findings(finding: Finding) -> None:
    """A finding is found by its public word, hyphens or not."""
    (word,) = names(finding)
    assert named(word) is named(word.upper().replace("_", "-")) is finding
