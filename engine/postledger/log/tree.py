"""The Merkle tree of the log, hashed as in RFC 9162, section 2.1.

A leaf is ``SHA-256(0x00 ‖ input)``, a node ``SHA-256(0x01 ‖ left ‖ right)``, the root of the empty
tree the hash of nothing. To append takes only the frontier of the tree: the roots of the perfect
subtrees that its leaves make up, one for each bit that is set in their number.
"""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import sha256
from typing import NamedTuple

HASH_SIZE = 32
"""The bytes of a hash."""

LEVEL = 8
"""The level of the nodes that are stored: leaves are at level 0."""

STRIDE = 1 << LEVEL
"""The leaves below a stored node."""

EMPTY_ROOT = sha256().digest()
"""The root of the tree without leaves."""


def node_hash(left: bytes, right: bytes) -> bytes:
    """The hash of a node, from those of its children."""
    return sha256(b"\x01" + left + right).digest()


class Frontier(NamedTuple):
    """The part of a tree that is needed to append to it and to compute its root."""

    size: int
    """The number of leaves."""
    hashes: tuple[bytes, ...]
    """The roots of the perfect subtrees that hold the leaves, the largest first."""

    def root(self) -> bytes:
        """The root of the tree: MTH of RFC 9162, section 2.1.1."""
        if not self.hashes:
            return EMPTY_ROOT
        *others, root = self.hashes
        for left in reversed(others):
            root = node_hash(left, root)
        return root

    def to_bytes(self) -> bytes:
        """The hashes, one after the other."""
        return b"".join(self.hashes)

    @classmethod
    def from_bytes(cls, size: int, data: bytes) -> Frontier:
        """The frontier of a tree of ``size`` leaves, from what ``to_bytes`` gave."""
        if size < 0:
            raise ValueError(f"`size` must be at least 0, got {size}")
        length = size.bit_count() * HASH_SIZE
        if len(data) != length:
            raise ValueError(f"`data` must be {length} bytes at size {size}, got {len(data)}")
        return cls(size, tuple(data[at : at + HASH_SIZE] for at in range(0, length, HASH_SIZE)))


EMPTY = Frontier(0, ())
"""The frontier of the tree without leaves."""


def extend(frontier: Frontier, leaves: Iterable[bytes]) -> tuple[Frontier, list[tuple[int, bytes]]]:
    """Append leaves, given by their hashes: the new frontier, and the subtrees they completed.

    These are the perfect subtrees of ``STRIDE`` leaves, by number and root: number n holds the
    leaves from n * ``STRIDE`` on.
    """
    size, hashes = frontier
    roots = list(hashes)
    push, pop, sha, inside, level = roots.append, roots.pop, sha256, STRIDE - 1, LEVEL
    completed = []
    for node in leaves:
        # Each bit that is set in the number of leaves before is a subtree to join with.
        before = size & inside
        while before & 1:
            node = sha(b"\x01" + pop() + node).digest()
            before >>= 1
        size += 1
        if not size & inside:
            number = (size >> level) - 1
            completed.append((number, node))
            while number & 1:
                node = sha(b"\x01" + pop() + node).digest()
                number >>= 1
        push(node)
    return Frontier(size, tuple(roots)), completed


def root_of(hashes: Iterable[bytes]) -> bytes:
    """The root over a range of leaves, or of roots of perfect subtrees of one size side by side."""
    return extend(EMPTY, hashes)[0].root()
