"""Postbacks: their identity is what they say."""

from __future__ import annotations

from hypothesis import example, given
from hypothesis import strategies as st

from postledger.postback import Postback, canonical_head, canonical_pair, plain

# Few letters, digits and the marks of the canonical form, so that forms could collide if any may.
TEXTS = st.text("aB-_01:*\n", max_size=4) | st.text(max_size=3)
FIELDS = st.lists(st.tuples(TEXTS, TEXTS), max_size=3).map(tuple)
POSTBACKS = st.builds(Postback, TEXTS, FIELDS, repaired=st.booleans(), statement=st.booleans())


def counts(postback: Postback) -> tuple[object, ...]:
    """All of a postback that counts in its identity."""
    fields = sorted((plain(path), text) for path, text in postback.fields if text)
    return plain(postback.root), postback.repaired, postback.statement, fields


@given(POSTBACKS, POSTBACKS)
@example(Postback("POSTBACK*", ()), Postback("POSTBACK", (), repaired=True))
@example(Postback("P", (), repaired=True), Postback("P", (), statement=True))
@example(Postback("P\n1:A1:1", ()), Postback("P", (("A", "1"),)))
@example(Postback("P", (("A", "12"),)), Postback("P", (("A", "1"), ("2", ""))))
@example(
    Postback("post-back", (("a", "1"), ("B", "2"))), Postback("POSTBACK", (("b", "2"), ("A", "1")))
)
def test_digest(one: Postback, other: Postback) -> None:
    """Two postbacks have one digest exactly where all that counts is the same."""
    assert (one.digest() == other.digest()) is (counts(one) == counts(other))


def test_attributes_do_not_count() -> None:
    """What describes the sending takes no part in the identity."""
    one = Postback("P", (("A", "1"),), (("created", "now"),))
    assert one.digest() == Postback("P", (("A", "1"),), (("created", "then"),)).digest()


def test_canonical_form() -> None:
    """The form is the head and the pairs: the lengths are written out."""
    assert canonical_head("P", repaired=True, statement=False) == "1:P10\n"
    assert canonical_head("", repaired=False, statement=True) == "0:01\n"
    assert canonical_pair("CODE", "N1") == "4:CODE2:N1"
