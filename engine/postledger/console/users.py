"""Users: who may sign in to the console, with which role, and how their passwords are kept."""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import secrets
from collections.abc import Iterable
from pathlib import Path

import attrs

from postledger.definitions.diagnostics import load_toml
from postledger.errors import PostledgerError

VIEWER, UNMASKER = "viewer", "unmasker"
ROLES = (VIEWER, UNMASKER)
"""What a user may do: see everything with its numbers masked, or also unmask them, on record."""

_N, _R, _P = 1 << 14, 8, 1
_SALT, _KEY = 16, 32
_HASH = re.compile(r"scrypt:[A-Za-z0-9_-]{22}:[A-Za-z0-9_-]{43}")
_LONGEST = 1024


@attrs.frozen
class User:
    """Somebody who signs in; ``password`` is a hash as ``hashed`` makes it.

    >>> User("I. Okafor", hashed("correct horse"), role="unmasker").role
    'unmasker'
    """

    name: str
    password: str = attrs.field(repr=False)
    role: str = VIEWER

    def __attrs_post_init__(self) -> None:
        if not self.name or not self.name.isprintable() or len(self.name) > 100:
            raise ValueError(
                f"name must be 1 to 100 characters that can be seen, got {self.name!r}"
            )
        if self.role not in ROLES:
            raise ValueError(f"role must be {' or '.join(ROLES)}, got {self.role!r}")
        if not _HASH.fullmatch(self.password):
            raise ValueError(
                f"password must be a hash as `postledger console --hash` prints it, got {'…'!r}"
            )


class Users:
    """All who may sign in, by their names.

    >>> users = Users([User("I. Okafor", hashed("correct horse"))])
    >>> users.signed_in("I. Okafor", "correct horse").name, users.signed_in("I. Okafor", "guessed")
    ('I. Okafor', None)
    """

    def __init__(self, users: Iterable[User]) -> None:
        self._users = {user.name: user for user in users}
        if not self._users:
            raise ValueError(f"users must be at least one, got {self._users}")
        # Whoever isn't known takes as long to be refused.
        self._nobody = User("nobody", hashed(secrets.token_urlsafe()))

    def signed_in(self, name: str, password: str) -> User | None:
        """The user of that name and password; takes some 50 ms of CPU whether there is one or not."""
        user = self._users.get(name)
        fits = _fits(password, (user or self._nobody).password)
        return user if fits else None

    @property
    def names(self) -> tuple[str, ...]:
        """Their names."""
        return tuple(self._users)

    @property
    def can_unmask(self) -> bool:
        """Whether any of them has the role for it."""
        return any(user.role == UNMASKER for user in self._users.values())


def hashed(password: str) -> str:
    """A password as a file of users keeps it: its hash by scrypt (RFC 7914), with a salt.

    Raises ``ValueError`` for an empty one.

    >>> hashed("correct horse").partition(":")[0]
    'scrypt'
    """
    if not 0 < len(password) <= _LONGEST:
        raise ValueError(f"password must be 1 to {_LONGEST} characters, got {len(password)}")
    salt = secrets.token_bytes(_SALT)
    return f"scrypt:{_text(salt)}:{_text(_key(password, salt))}"


def _fits(password: str, kept: str) -> bool:
    _, salt, key = kept.split(":")
    made = _text(_key(password[:_LONGEST], base64.urlsafe_b64decode(salt + "==")))
    return hmac.compare_digest(made, key)


def _key(password: str, salt: bytes) -> bytes:
    given = password.encode("utf-8", "surrogatepass")
    return hashlib.scrypt(given, salt=salt, n=_N, r=_R, p=_P, dklen=_KEY)


def _text(given: bytes) -> str:
    return base64.urlsafe_b64encode(given).rstrip(b"=").decode()


def load_users(path: str | Path) -> Users:
    """The users of a TOML file: tables ``[[users]]`` with ``name``, ``password`` and ``role``.

    Raises ``PostledgerError`` for a file that can't be read, and says what in it is wrong.

    >>> text = f'[[users]]\\nname = "I. Okafor"\\npassword = "{hashed("correct horse")}"\\n'
    >>> _ = Path("users.toml").write_text(text)
    >>> load_users("users.toml").can_unmask
    False
    """
    said = load_toml(Path(path))
    tables = said.get("users")
    if set(said) != {"users"} or not isinstance(tables, list) or not tables:
        raise PostledgerError(f"{path}: expected tables [[users]] and nothing else")
    users = [_user(path, number, table) for number, table in enumerate(tables, 1)]
    names = [user.name for user in users]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise PostledgerError(f"{path}: the user {twice!r} is there twice; leave one out")
    return Users(users)


def _user(path: str | Path, number: int, table: object) -> User:
    where, known = f"{path}: users[{number}]", {"name", "password", "role"}
    if not isinstance(table, dict) or not {"name", "password"} <= table.keys() <= known:
        raise PostledgerError(f"{where}: expected name, password and, if not viewer, role")
    if not all(isinstance(text, str) for text in table.values()):
        raise PostledgerError(f"{where}: expected texts in quotes")
    try:
        return User(**table)
    except ValueError as error:
        raise PostledgerError(f"{where}: {error}") from None
