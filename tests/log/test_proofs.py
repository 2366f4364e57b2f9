"""Proofs are those of RFC 9162, and nothing else passes for one."""

from __future__ import annotations

import re
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postledger.log.proofs import (
    LARGEST,
    Subtree,
    consistency_proof,
    inclusion_proof,
    subtree_from,
    verify_consistency,
    verify_inclusion,
)
from postledger.log.tree import EMPTY, EMPTY_ROOT, STRIDE, extend, node_hash, root_of
from tests.log import rfc9162
from tests.log.rfc9162 import leaf_hash

INPUTS = [b"leaf %d" % number for number in range(8 * STRIDE + 5)]
LEAVES = [leaf_hash(data) for data in INPUTS]
NODES = [node for _, node in extend(EMPTY, LEAVES)[1]]


def subtree_of(leaves: Sequence[bytes]) -> Subtree:
    """The root over any range of leaves that are in memory, given by their hashes."""

    def subtree(start: int, end: int) -> bytes:
        for name, value, most in (("end", end, len(leaves)), ("start", start, end)):
            if not 0 <= value <= most:
                raise ValueError(f"`{name}` must be 0 to {most}, got {value}")
        return root_of(leaves[start:end])

    return subtree


SUBTREE = subtree_of(LEAVES)
ROOTS = [root_of(LEAVES[:size]) for size in range(301)]

PUBLISHED = subtree_of(rfc9162.LEAF_HASHES)

octets = st.binary(max_size=40) | st.binary(min_size=32, max_size=32)


@st.composite
def spots(draw: st.DrawFn) -> tuple[int, int]:
    """An index of a leaf, and the size of a tree that has it."""
    size = draw(st.integers(1, 300))
    return draw(st.integers(0, size - 1)), size


@st.composite
def growths(draw: st.DrawFn) -> tuple[int, int]:
    """The sizes of an older tree and of a larger one, neither of them empty."""
    new = draw(st.integers(2, 300))
    return draw(st.integers(1, new - 1)), new


def flipped(values: Sequence[bytes], bit: int) -> list[bytes]:
    """Hashes with one bit of all of them the other way round."""
    changed = bytearray(b"".join(values))
    bit %= len(changed) * 8
    changed[bit // 8] ^= 1 << bit % 8
    return [bytes(changed[at : at + 32]) for at in range(0, len(changed), 32)]


@pytest.mark.parametrize(("index", "size", "proof"), rfc9162.INCLUSION)
def test_inclusion_proof_is_the_published_one(index: int, size: int, proof: rfc9162.Hashes) -> None:
    """The proofs that Certificate Transparency tests with are made, and accepted."""
    assert inclusion_proof(index, size, PUBLISHED) == proof
    leaf = rfc9162.LEAF_HASHES[index]
    assert verify_inclusion(leaf, index, size, proof, rfc9162.ROOTS[size])


@pytest.mark.parametrize(("old", "new", "proof"), rfc9162.CONSISTENCY)
def test_consistency_proof_is_the_published_one(old: int, new: int, proof: rfc9162.Hashes) -> None:
    """The proofs that Certificate Transparency tests with are made, and accepted."""
    assert consistency_proof(old, new, PUBLISHED) == proof
    assert verify_consistency(old, new, rfc9162.ROOTS[old], rfc9162.ROOTS[new], proof)


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 7, 8, 9, 31, 64, 100])
def test_inclusion_proof_is_the_rfcs_at_every_index(size: int) -> None:
    """For every leaf of a tree, the proof is the RFC's path, and accepted."""
    for index in range(size):
        proof = inclusion_proof(index, size, SUBTREE)
        assert proof == rfc9162.path(index, INPUTS[:size])
        assert verify_inclusion(LEAVES[index], index, size, proof, ROOTS[size])


@pytest.mark.parametrize("index", [0, 1, 6, 127, 128, 255, 256, 298])
def test_inclusion_proof_is_the_rfcs_at_every_size(index: int) -> None:
    """For a leaf in every tree that has it, the proof is the RFC's path, and accepted."""
    for size in range(index + 1, 301):
        proof = inclusion_proof(index, size, SUBTREE)
        assert proof == rfc9162.path(index, INPUTS[:size])
        assert verify_inclusion(LEAVES[index], index, size, proof, ROOTS[size])


def test_consistency_proof_is_the_rfcs_for_every_small_pair() -> None:
    """For any two sizes up to 64, the proof is the RFC's, and accepted."""
    for new in range(1, 65):
        for old in range(1, new + 1):
            proof = consistency_proof(old, new, SUBTREE)
            assert proof == rfc9162.proof(old, INPUTS[:new])
            assert verify_consistency(old, new, ROOTS[old], ROOTS[new], proof)


@given(growths())
def test_consistency_proof_is_the_rfcs_for_larger_pairs(growth: tuple[int, int]) -> None:
    """For any two sizes up to 300, the proof is the RFC's, and accepted."""
    old, new = growth
    proof = consistency_proof(old, new, SUBTREE)
    assert proof == rfc9162.proof(old, INPUTS[:new])
    assert verify_consistency(old, new, ROOTS[old], ROOTS[new], proof)


@pytest.mark.parametrize("new", [0, 1, 7])
def test_every_tree_begins_with_the_empty_one(new: int) -> None:
    """That takes no proof, but the root of the empty tree: any other is refused."""
    assert consistency_proof(0, new, SUBTREE) == ()
    assert verify_consistency(0, new, EMPTY_ROOT, ROOTS[new], ())
    assert not verify_consistency(0, new, LEAVES[0], LEAVES[0], ())
    assert not verify_consistency(0, new, EMPTY_ROOT, ROOTS[new], (LEAVES[0],))


@pytest.mark.parametrize("size", [1, 7, 8])
def test_every_tree_begins_with_itself(size: int) -> None:
    """That takes no proof, but the same root: another one, or a proof, is refused."""
    assert consistency_proof(size, size, SUBTREE) == ()
    assert verify_consistency(size, size, ROOTS[size], ROOTS[size], ())
    assert not verify_consistency(size, size, ROOTS[size], ROOTS[size + 1], ())
    assert not verify_consistency(size, size, ROOTS[size], ROOTS[size], (LEAVES[0],))


@given(spots(), st.integers(0))
def test_inclusion_refuses_any_flipped_bit(spot: tuple[int, int], bit: int) -> None:
    """With one bit of leaf, root or proof changed, a leaf is not taken for included."""
    index, size = spot
    proof = inclusion_proof(index, size, SUBTREE)
    leaf, root, *changed = flipped([LEAVES[index], ROOTS[size], *proof], bit)
    assert not verify_inclusion(leaf, index, size, changed, root)


@given(growths(), st.integers(0))
def test_consistency_refuses_any_flipped_bit(growth: tuple[int, int], bit: int) -> None:
    """With one bit of a root or of the proof changed, trees are not taken for consistent."""
    old, new = growth
    proof = consistency_proof(old, new, SUBTREE)
    old_root, new_root, *changed = flipped([ROOTS[old], ROOTS[new], *proof], bit)
    assert not verify_consistency(old, new, old_root, new_root, changed)


@given(spots(), st.data())
def test_inclusion_refuses_extra_and_missing_hashes(
    spot: tuple[int, int], data: st.DataObject
) -> None:
    """A proof with a hash more or less, or with one cut short, is refused."""
    index, size = spot
    proof = inclusion_proof(index, size, SUBTREE)
    for wrong in misshapen(proof, ROOTS[size], data):
        assert not verify_inclusion(LEAVES[index], index, size, wrong, ROOTS[size])


@given(growths(), st.data())
def test_consistency_refuses_extra_and_missing_hashes(
    growth: tuple[int, int], data: st.DataObject
) -> None:
    """A proof with a hash more or less, or with one cut short, is refused."""
    old, new = growth
    proof = consistency_proof(old, new, SUBTREE)
    for root in (ROOTS[old], ROOTS[new]):
        for wrong in misshapen(proof, root, data):
            assert not verify_consistency(old, new, ROOTS[old], ROOTS[new], wrong)


def misshapen(proof: rfc9162.Hashes, root: bytes, data: st.DataObject) -> list[tuple[bytes, ...]]:
    """Proofs that are not of the shape of one: with something more, or something less."""
    at = data.draw(st.integers(0, len(proof)))
    wrong = [
        (*proof[:at], extra, *proof[at:])
        for extra in (root, b"", bytes(32), *proof[:1], data.draw(st.binary(max_size=33)))
    ]
    if at < len(proof):
        wrong.append((*proof[:at], *proof[at + 1 :]))
        wrong.append((*proof[:at], proof[at][:-1], *proof[at + 1 :]))
        wrong.append((*proof[:at], proof[at] + b"\x00", *proof[at + 1 :]))
    return wrong


def test_inclusion_refuses_every_other_index() -> None:
    """A proof for one leaf places it nowhere else, and no other leaf there."""
    for index in range(21):
        proof = inclusion_proof(index, 21, SUBTREE)
        for other in set(range(-1, 23)) - {index}:
            assert not verify_inclusion(LEAVES[index], other, 21, proof, ROOTS[21])
            assert not verify_inclusion(LEAVES[other], index, 21, proof, ROOTS[21])


@given(growths(), st.integers(0))
def test_consistency_refuses_a_rewritten_history(growth: tuple[int, int], number: int) -> None:
    """A tree in which an old leaf was replaced does not pass for one that was appended to."""
    old, new = growth
    forged = [*LEAVES[:new]]
    forged[number % old] = leaf_hash(b"forged")
    proof = consistency_proof(old, new, subtree_of(forged))
    assert verify_consistency(old, new, root_of(forged[:old]), root_of(forged), proof)
    assert not verify_consistency(old, new, ROOTS[old], root_of(forged), proof)


@pytest.mark.parametrize(("index", "size"), [(0, 0), (1, 1), (-1, 1), (0, -1), (-2, -1)])
def test_inclusion_refuses_sizes_out_of_range(index: int, size: int) -> None:
    """No leaf is in a tree that cannot have it, or that cannot be."""
    assert not verify_inclusion(LEAVES[0], index, size, (), LEAVES[0])
    assert not verify_inclusion(LEAVES[0], index, size, (LEAVES[0],) * 64, LEAVES[0])


@pytest.mark.parametrize(("old", "new"), [(2, 1), (1, 0), (-1, 0), (-1, -1), (-2, 3)])
def test_consistency_refuses_sizes_out_of_range(old: int, new: int) -> None:
    """No tree begins with a larger one, and none has a size that cannot be."""
    for root in (LEAVES[0], EMPTY_ROOT):
        assert not verify_consistency(old, new, root, root, ())
        assert not verify_consistency(old, new, root, root, (root,) * 64)


@pytest.mark.parametrize(("whole", "accepted"), [(1 << 63, True), (1 << 64, False)])
def test_verifying_refuses_sizes_of_more_than_64_bits(whole: int, accepted: bool) -> None:
    """A leaf behind a perfect tree is accepted only while the RFC has a number for the size."""
    old_root, leaf = LEAVES[:2]
    root = node_hash(old_root, leaf)
    assert verify_inclusion(leaf, whole, whole + 1, (old_root,), root) is accepted
    assert verify_consistency(whole, whole + 1, old_root, root, (leaf,)) is accepted


@pytest.mark.parametrize("wrong", [b"", b"\x00", bytes(31), bytes(33)])
def test_verifying_refuses_what_is_no_hash(wrong: bytes) -> None:
    """A leaf and a root that are equal but have not 32 bytes prove nothing."""
    assert not verify_inclusion(wrong, 0, 1, (), wrong)
    assert not verify_consistency(1, 1, wrong, wrong, ())
    assert not verify_consistency(0, 1, EMPTY_ROOT, wrong, ())


@given(
    st.tuples(st.integers(), st.integers()) | spots(),
    octets,
    st.lists(octets, max_size=9),
)
def test_verifying_says_no_to_random_bytes(
    numbers: tuple[int, int], first: bytes, proof: list[bytes]
) -> None:
    """Whatever comes, the answer is no, never an error."""
    assert verify_inclusion(first, *numbers, proof, ROOTS[8]) is False
    assert verify_consistency(*numbers, first, ROOTS[8], proof) is False


@pytest.mark.parametrize(
    ("index", "size", "message"),
    [
        (-1, 8, "`index` must be 0 to 7, got -1"),
        (8, 8, "`index` must be 0 to 7, got 8"),
        (0, 0, f"`size` must be 1 to {LARGEST}, got 0"),
        (0, -3, f"`size` must be 1 to {LARGEST}, got -3"),
        (0, len(LEAVES) + 1, f"`end` must be 0 to {len(LEAVES)}, got {len(LEAVES) + 1}"),
    ],
)
def test_inclusion_proof_names_the_wrong_argument(index: int, size: int, message: str) -> None:
    """Where there is no such leaf or tree, the error names the argument and what came."""
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        inclusion_proof(index, size, SUBTREE)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (-1, 8, "`old` must be 0 to 8, got -1"),
        (9, 8, "`old` must be 0 to 8, got 9"),
        (0, -1, f"`new` must be 0 to {LARGEST}, got -1"),
        (1, len(LEAVES) + 1, f"`end` must be 0 to {len(LEAVES)}, got {len(LEAVES) + 1}"),
    ],
)
def test_consistency_proof_names_the_wrong_argument(old: int, new: int, message: str) -> None:
    """Where there are no such trees, the error names the argument and what came."""
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        consistency_proof(old, new, SUBTREE)


class Stored:
    """Hashes as a store gives them, which notes how many were read."""

    def __init__(self, hashes: Sequence[bytes] | None = None) -> None:
        self.hashes = hashes
        self.count = 0

    def __call__(self, start: int, end: int) -> Sequence[bytes]:
        assert 0 <= start < end
        self.count += end - start
        return [bytes(32)] * (end - start) if self.hashes is None else self.hashes[start:end]


@given(st.integers(0, len(LEAVES)), st.integers(0, len(LEAVES)))
def test_stored_nodes_give_the_root_of_any_range(one: int, other: int) -> None:
    """The root over a range is the same from nodes and leaves that are stored as from all leaves."""
    start, end = sorted((one, other))
    subtree = subtree_from(Stored(LEAVES), Stored(NODES))
    assert subtree(start, end) == SUBTREE(start, end) == rfc9162.mth(INPUTS[start:end])
    start -= start % STRIDE
    assert subtree(start, end) == SUBTREE(start, end)


@given(st.integers(1, len(LEAVES)), st.integers(0))
def test_stored_nodes_give_the_same_proofs(size: int, number: int) -> None:
    """Proofs by way of nodes that are stored are those of all leaves."""
    index, old = number % size, number % (size + 1)
    subtree = subtree_from(Stored(LEAVES), Stored(NODES))
    assert inclusion_proof(index, size, subtree) == inclusion_proof(index, size, SUBTREE)
    assert consistency_proof(old, size, subtree) == consistency_proof(old, size, SUBTREE)


@pytest.mark.parametrize("size", [3_000_000, 3_000_063, 2_999_808, 2_999_807, 1 << 21])
@pytest.mark.parametrize("number", [0, 255, 256, 1_234_567, 2_097_151, -2, -1])
def test_a_proof_reads_nodes_in_place_of_leaves(size: int, number: int) -> None:
    """In a tree of three million leaves, a proof reads fewer than 512 of them, and no node twice."""
    index = number % size
    for make, first in ((inclusion_proof, index), (consistency_proof, index + 1)):
        leaves, nodes = Stored(), Stored()
        make(first, size, subtree_from(leaves, nodes))
        assert leaves.count < 2 * STRIDE
        assert nodes.count <= size // STRIDE


@pytest.mark.parametrize(
    ("leaves", "nodes", "message"),
    [
        (LEAVES[:260], NODES, "`leaves` must return 44 hashes from 256 to 300, got 4"),
        (LEAVES, [], "`nodes` must return 1 hashes from 0 to 1, got 0"),
    ],
)
def test_a_gap_in_the_store_is_no_tree(
    leaves: list[bytes], nodes: list[bytes], message: str
) -> None:
    """Where the store has fewer hashes than the range, an error says so instead of a wrong root."""
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        subtree_from(Stored(leaves), Stored(nodes))(0, 300)


@pytest.mark.parametrize("subtree", [SUBTREE, subtree_from(Stored(LEAVES), Stored(NODES))])
def test_a_range_that_is_none_is_refused(subtree: Subtree) -> None:
    """A range has its start before its end, and neither below 0."""
    with pytest.raises(ValueError, match=r"^`start` must be 0 to 4, got 5$"):
        subtree(5, 4)
    with pytest.raises(ValueError, match=r"^`start` must be 0 to 4, got -1$"):
        subtree(-1, 4)
    with pytest.raises(ValueError, match=r"^`end` must be 0 to \d+, got -1$"):
        subtree(-2, -1)
