"""The Merkle tree is that of RFC 9162, however its leaves come."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postledger.log.tree import (
    EMPTY,
    STRIDE,
    Frontier,
    extend,
    node_hash,
    root_of,
)
from tests.log import rfc9162
from tests.log.rfc9162 import leaf_hash

INPUTS = [b"leaf %d" % number for number in range(5 * STRIDE + 3)]
LEAVES = [leaf_hash(data) for data in INPUTS]


def frontier_of(size: int) -> Frontier:
    return extend(EMPTY, LEAVES[:size])[0]


def test_hashes_are_those_published_for_a_leaf_and_a_node() -> None:
    """A leaf and a node of known content have the hashes that Certificate Transparency gives."""
    leaf, node = rfc9162.hashes(
        "395aa064aa4c29f7010acfe3f25db9485bbd4b91897b6ad7ad547639252b4d56",
        "aa217fe888e47007fa15edab33c2b492a722cb106c64667fc2b044444de66bbb",
    )
    assert leaf_hash(b"L123456") == leaf
    assert node_hash(b"N123", b"N456") == node
    assert tuple(map(leaf_hash, rfc9162.LEAVES)) == rfc9162.LEAF_HASHES


@pytest.mark.parametrize("size", range(9))
def test_frontier_and_root_are_those_published(size: int) -> None:
    """The first leaves of Certificate Transparency's tests make up the published subtrees."""
    frontier, completed = extend(EMPTY, map(leaf_hash, rfc9162.LEAVES[:size]))
    assert frontier == (size, rfc9162.FRONTIERS[size])
    assert frontier.root() == rfc9162.ROOTS[size]
    assert completed == []


def test_root_is_that_of_the_rfc_at_every_size() -> None:
    """Leaf by leaf, the root is what the RFC's recursion gives for all leaves so far."""
    frontier = EMPTY
    for size in range(301):
        assert frontier.size == size
        assert frontier.root() == root_of(LEAVES[:size]) == rfc9162.mth(INPUTS[:size])
        frontier, _ = extend(frontier, [LEAVES[size]])


def test_frontier_holds_a_root_for_each_bit_of_its_size() -> None:
    """Its hashes are the roots of the perfect subtrees side by side, the largest first."""
    for size in (1, 6, 255, 256, 257, 511, 1000, len(LEAVES)):
        expected, start = [], 0
        for bit in reversed(range(size.bit_length())):
            if size >> bit & 1:
                expected.append(rfc9162.mth(INPUTS[start : start + (1 << bit)]))
                start += 1 << bit
        assert frontier_of(size) == (size, tuple(expected))


@given(st.lists(st.integers(0, len(LEAVES)), max_size=8).map(sorted))
def test_chunks_give_what_single_leaves_give(cuts: list[int]) -> None:
    """In whatever portions leaves are appended, frontier and completed subtrees are the same."""
    single, chunked = (EMPTY, EMPTY)
    completed_singly, completed = [], []
    for leaf in LEAVES:
        single, finished = extend(single, [leaf])
        completed_singly += finished
    for start, end in zip([0, *cuts], [*cuts, len(LEAVES)], strict=True):
        chunked, finished = extend(chunked, LEAVES[start:end])
        completed += finished
    assert (chunked, completed) == (single, completed_singly)


@pytest.mark.parametrize("before", [0, 1, 255, 256, 257, 511, 700])
def test_completed_subtrees_are_the_roots_of_their_ranges(before: int) -> None:
    """Every subtree that is filled up is told once, with its number, also by a later portion."""
    _, completed = extend(frontier_of(before), iter(LEAVES[before:]))
    assert completed == [
        (number, rfc9162.mth(INPUTS[number * STRIDE : (number + 1) * STRIDE]))
        for number in range(before // STRIDE, len(INPUTS) // STRIDE)
    ]


def test_extend_leaves_the_frontier_before_as_it_was() -> None:
    """A frontier is a value: one that is kept gives the same root after it was extended."""
    frontier = frontier_of(7)
    kept = Frontier(frontier.size, frontier.hashes)
    assert extend(frontier, LEAVES[7:9])[0] == frontier_of(9)
    assert frontier == kept
    assert extend(frontier, []) == (frontier, [])


@pytest.mark.parametrize("size", [0, 1, 2, 3, 255, 256, 300])
def test_frontier_comes_back_from_its_bytes(size: int) -> None:
    """Its hashes one behind the other and its size are the whole of it."""
    data = frontier_of(size).to_bytes()
    assert len(data) == 32 * size.bit_count()
    assert Frontier.from_bytes(size, data) == frontier_of(size)


@pytest.mark.parametrize(
    ("size", "length", "message"),
    [
        (7, 95, "`data` must be 96 bytes at size 7, got 95"),
        (7, 128, "`data` must be 96 bytes at size 7, got 128"),
        (0, 32, "`data` must be 0 bytes at size 0, got 32"),
        (1, 0, "`data` must be 32 bytes at size 1, got 0"),
        (-1, 32, "`size` must be at least 0, got -1"),
    ],
)
def test_bytes_of_another_length_are_refused(size: int, length: int, message: str) -> None:
    """Bytes that are no frontier of the size raise an error that tells what was expected."""
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        Frontier.from_bytes(size, bytes(length))
