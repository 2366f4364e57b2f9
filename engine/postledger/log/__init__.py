"""The log: what was received, append-only, in one sequence, under a Merkle tree.

``event`` is what is appended and read, ``tree`` and ``proofs`` what covers it, ``interned`` how bodies
share what they have in common, ``schema`` the tables and guards, ``log`` the log itself, ``as_of`` what
was known at an earlier time.
"""
