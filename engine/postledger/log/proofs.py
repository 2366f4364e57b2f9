"""Proofs about the Merkle tree of the log, as in RFC 9162, sections 2.1.3 and 2.1.4.

An inclusion proof shows that a leaf stands at its index under a root, a consistency proof that a
tree begins with all the leaves of an older one. Who makes one reads roots of ranges of leaves by a
function; who checks one needs nothing but what is handed over. An index counts from 0, and a range
ends before its end.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import chain

from postledger.log.tree import EMPTY_ROOT, HASH_SIZE, STRIDE, node_hash, root_of

Subtree = Callable[[int, int], bytes]
"""The root over the leaves from a start to an end: MTH(D[start:end]) in the RFC's terms."""

Hashes = Callable[[int, int], Sequence[bytes]]
"""The stored hashes from a start to an end."""

LARGEST = (1 << 64) - 1
"""The largest size of a tree: in the RFC it is a number of 64 bits."""


def subtree_from(leaves: Hashes, nodes: Hashes) -> Subtree:
    """The root over any range of leaves that are stored, with nodes for every ``STRIDE`` of them.

    ``leaves`` reads hashes of leaves, ``nodes`` the roots of the perfect subtrees of ``STRIDE``
    leaves, by their numbers. Leaves are read only where no node covers them; all the ranges of a
    proof that are longer than ``STRIDE`` start where a node does.
    """

    def subtree(start: int, end: int) -> bytes:
        _check("end", end, 0, LARGEST)
        _check("start", start, 0, end)
        covered = start if start % STRIDE else end - end % STRIDE
        roots = _read("nodes", nodes, start // STRIDE, covered // STRIDE)
        rest = _read("leaves", leaves, covered, end)
        return root_of(chain(roots, [root_of(rest)]) if rest else roots)

    return subtree


def inclusion_proof(index: int, size: int, subtree: Subtree) -> tuple[bytes, ...]:
    """The proof that a leaf is in the tree of a size: PATH of RFC 9162, section 2.1.3.1."""
    _check("size", size, 1, LARGEST)
    _check("index", index, 0, size - 1)
    start, end = 0, size
    proof = []
    while end - start > 1:
        middle = start + _left_part(end - start)
        if index < middle:
            proof.append(subtree(middle, end))
            end = middle
        else:
            proof.append(subtree(start, middle))
            start = middle
    return tuple(reversed(proof))


def consistency_proof(old: int, new: int, subtree: Subtree) -> tuple[bytes, ...]:
    """The proof that the tree of a size begins with an older one: PROOF of section 2.1.4.1.

    It is empty where there is nothing to prove: for the same size, and for the empty tree, which
    the RFC leaves out.
    """
    _check("new", new, 0, LARGEST)
    _check("old", old, 0, new)
    if old == 0:
        return ()
    start, end = 0, new
    proof = []
    while old < end:
        middle = start + _left_part(end - start)
        if old <= middle:
            proof.append(subtree(middle, end))
            end = middle
        else:
            proof.append(subtree(start, middle))
            start = middle
    if start > 0:  # Otherwise what is left is the old tree, whose root the reader has.
        proof.append(subtree(start, end))
    return tuple(reversed(proof))


def verify_inclusion(
    leaf: bytes, index: int, size: int, proof: Sequence[bytes], root: bytes
) -> bool:
    """Whether a proof shows that a leaf, given by its hash, stands at an index under a root.

    RFC 9162, section 2.1.3.2. ``size`` and ``root`` belong together: that the root is one of that
    size is not shown by the proof.
    """
    if not 0 <= index < size <= LARGEST or not _are_hashes(leaf, root, *proof):
        return False
    sides = list(_sides(index, size - 1))
    if len(proof) != len(sides):
        return False
    computed = leaf
    for is_left, other in zip(sides, proof, strict=True):
        computed = node_hash(other, computed) if is_left else node_hash(computed, other)
    return computed == root


def verify_consistency(
    old: int, new: int, old_root: bytes, new_root: bytes, proof: Sequence[bytes]
) -> bool:
    """Whether a proof shows that the tree under a root begins with that under an older one.

    RFC 9162, section 2.1.4.2. Every tree begins with the empty one, which takes no proof, and with
    itself.
    """
    if not 0 <= old <= new <= LARGEST or not _are_hashes(old_root, new_root, *proof):
        return False
    if old == new:
        return not proof and old_root == new_root and (old > 0 or old_root == EMPTY_ROOT)
    if old == 0:
        return not proof and old_root == EMPTY_ROOT
    node, last = old - 1, new - 1
    while node & 1:
        node, last = node >> 1, last >> 1
    path = proof if old & (old - 1) else (old_root, *proof)  # A perfect old tree is a node.
    sides = list(_sides(node, last))
    if len(path) != len(sides) + 1:
        return False
    older = newer = path[0]
    for is_left, other in zip(sides, path[1:], strict=True):
        if is_left:
            older = node_hash(other, older)
        newer = node_hash(other, newer) if is_left else node_hash(newer, other)
    return older == old_root and newer == new_root


def _sides(node: int, last: int) -> Iterator[bool]:
    """Whether each hash on the way up from a node is to its left, in a row that ends with ``last``.

    Step 4 of section 2.1.3.2 and step 6 of section 2.1.4.2, without the hashing.
    """
    while last:
        is_left = bool(node & 1) or node == last
        yield is_left
        while is_left and node and not node & 1:  # The last of its row, without a neighbour.
            node, last = node >> 1, last >> 1
        node, last = node >> 1, last >> 1


def _left_part(size: int) -> int:
    """The leaves on the left of a tree's root: the largest power of two below its size."""
    return 1 << ((size - 1).bit_length() - 1)


def _are_hashes(*values: bytes) -> bool:
    return all(len(value) == HASH_SIZE for value in values)


def _read(name: str, hashes: Hashes, start: int, end: int) -> Sequence[bytes]:
    """The hashes of a range, all of them."""
    if start == end:
        return ()
    read = hashes(start, end)
    if len(read) != end - start:
        raise ValueError(
            f"`{name}` must return {end - start} hashes from {start} to {end}, got {len(read)}"
        )
    return read


def _check(name: str, value: int, least: int, most: int) -> None:
    if not least <= value <= most:
        raise ValueError(f"`{name}` must be {least} to {most}, got {value}")
