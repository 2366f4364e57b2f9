"""What the Merkle tree is measured by: the text of RFC 9162, and published vectors.

The functions are transcriptions: recursive, over lists of leaf inputs, under the names of the RFC.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256

Hashes = tuple[bytes, ...]


def leaf_hash(data: bytes) -> bytes:
    """The hash of a leaf, from its input."""
    return sha256(b"\x00" + data).digest()


def split(n: int) -> int:
    """The largest power of two smaller than n."""
    k = 1
    while k * 2 < n:
        k *= 2
    return k


def mth(d: Sequence[bytes]) -> bytes:
    """MTH(D_n), section 2.1.1."""
    n = len(d)
    if n == 0:
        return sha256(b"").digest()
    if n == 1:
        return sha256(b"\x00" + d[0]).digest()
    k = split(n)
    return sha256(b"\x01" + mth(d[:k]) + mth(d[k:])).digest()


def path(m: int, d: Sequence[bytes]) -> Hashes:
    """PATH(m, D_n), section 2.1.3.1."""
    n = len(d)
    if n == 1:
        return ()
    k = split(n)
    if m < k:
        return (*path(m, d[:k]), mth(d[k:]))
    return (*path(m - k, d[k:]), mth(d[:k]))


def proof(m: int, d: Sequence[bytes]) -> Hashes:
    """PROOF(m, D_n), section 2.1.4.1."""
    return subproof(m, d, known=True)


def subproof(m: int, d: Sequence[bytes], *, known: bool) -> Hashes:
    """SUBPROOF(m, D_n, b), section 2.1.4.1."""
    n = len(d)
    if m == n:
        return () if known else (mth(d),)
    k = split(n)
    if m <= k:
        return (*subproof(m, d[:k], known=known), mth(d[k:]))
    return (*subproof(m - k, d[k:], known=False), mth(d[:k]))


def hashes(*written: str) -> Hashes:
    """Hashes that are written in hexadecimal."""
    return tuple(bytes.fromhex(text) for text in written)


# The vectors of Certificate Transparency: google/certificate-transparency-go (merkletree) and
# transparency-dev/merkle (proof, testonly), which have the same. Indexes count from 0 here.
LEAVES = hashes(
    "", "00", "10", "2021", "3031", "40414243", "5051525354555657",
    "606162636465666768696a6b6c6d6e6f",
)  # fmt: skip
ROOTS = hashes(
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
)
"""The roots over the first 0 to 8 leaves."""

LEAF_HASHES = hashes(
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
    "0298d122906dcfc10892cb53a73992fc5b9f493ea4c9badb27b791b4127a7fe7",
    "07506a85fd9dd2f120eb694f86011e5bb4662e5c415a62917033d4a9624487e7",
    "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
    "4271a26be0d8a84f0bd54c8c302e7cb3a3b5d1fa6780a40bcce2873477dab658",
    "b08693ec2e721597130641e8211e7eedccb4c26413963eee6c1e2ed16ffb1a5f",
    "46f6ffadd3d06a09ff3c5860d2755c8b9819db7df44251788c7d8e3180de8eb1",
)
PAIRS = hashes(
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
    "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
    "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
)
"""The nodes over two leaves."""
FOURS = hashes(
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
)
"""The nodes over four leaves."""

FRONTIERS = (
    (),
    LEAF_HASHES[:1],
    PAIRS[:1],
    (PAIRS[0], LEAF_HASHES[2]),
    FOURS[:1],
    (FOURS[0], LEAF_HASHES[4]),
    (FOURS[0], PAIRS[2]),
    (FOURS[0], PAIRS[2], LEAF_HASHES[6]),
    ROOTS[8:],
)
"""The perfect subtrees that the first 0 to 8 leaves make up."""

INCLUSION: tuple[tuple[int, int, Hashes], ...] = (
    (0, 1, ()),
    (0, 8, (LEAF_HASHES[1], PAIRS[1], FOURS[1])),
    (5, 8, (LEAF_HASHES[4], PAIRS[3], FOURS[0])),
    (2, 3, (PAIRS[0],)),
    (1, 5, (LEAF_HASHES[0], PAIRS[1], LEAF_HASHES[4])),
)
"""Index, size, proof."""

CONSISTENCY: tuple[tuple[int, int, Hashes], ...] = (
    (1, 1, ()),
    (1, 8, (LEAF_HASHES[1], PAIRS[1], FOURS[1])),
    (6, 8, (PAIRS[2], PAIRS[3], FOURS[0])),
    (2, 5, (PAIRS[1], LEAF_HASHES[4])),
    (6, 7, (PAIRS[2], LEAF_HASHES[6], FOURS[0])),
)
"""Old size, new size, proof."""
