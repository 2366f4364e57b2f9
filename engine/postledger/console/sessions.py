"""Sessions: who is signed in, kept by the server; the browser has only a number that says nothing."""

from __future__ import annotations

import hashlib
import hmac
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

import attrs

from postledger.console.users import UNMASKER, User

LONGEST, IDLE = 12 * 3_600.0, 2 * 3_600.0
"""Seconds after which a session ends: since it began, and since it was last used."""

SHOWN = 600.0
"""Seconds for which what was unmasked, on record, stays so in that session."""

_MOST, _MOST_STRANGERS = 1_000, 10_000
_MOST_TOKENS = 64
_MOST_SHOWN = 100
_OF_NAME, _OF_CLIENT, _WINDOW = 10, 50, 60.0
_MOST_CLIENTS, _MOST_NAMES = 10_000, 10_000

Clock = Callable[[], float]
K = TypeVar("K", bound=Hashable)


@attrs.define(eq=False)
class Session:
    """One browser; ``user`` is ``None`` until somebody signs in. ``next`` is where they meant to go."""

    clock: Clock
    user: User | None = None
    next: str = ""
    began: float = 0.0
    used: float = 0.0
    streams: int = 0
    ended: bool = False
    _tokens: OrderedDict[str, None] = attrs.field(factory=OrderedDict, repr=False)
    _shown: OrderedDict[object, float] = attrs.field(factory=OrderedDict, repr=False)

    @property
    def can_unmask(self) -> bool:
        """Whether the user has the role for it."""
        return self.user is not None and self.user.role == UNMASKER

    @property
    def is_over(self) -> bool:
        """Whether it has ended, by itself or by signing out."""
        now = self.clock()
        return self.ended or now - self.began > LONGEST or now - self.used > IDLE

    def token(self) -> str:
        """A new token for one form; the oldest of many that were never used is forgotten."""
        made = secrets.token_urlsafe(24)
        self._tokens[made] = None
        while len(self._tokens) > _MOST_TOKENS:
            self._tokens.popitem(last=False)
        return made

    def spend(self, token: str) -> bool:
        """Whether it is a token of this session that was not used yet; now it is."""
        # guard: a token is taken once
        given = token.encode("utf-8", "surrogatepass")
        same = (one for one in self._tokens if hmac.compare_digest(one.encode(), given))
        known = next(same, None)
        if known is None:
            return False
        del self._tokens[known]
        return True

    def show(self, subject: object) -> None:
        """Keep something unmasked for a while: the access to it was recorded."""
        self._shown[subject] = self.clock() + SHOWN
        while len(self._shown) > _MOST_SHOWN:
            self._shown.popitem(last=False)

    def hide(self, subject: object) -> None:
        """Mask it again."""
        self._shown.pop(subject, None)

    def shows(self, subject: object) -> bool:
        """Whether it is unmasked in this session now."""
        return self._shown.get(subject, 0.0) > self.clock() and self.can_unmask


class Sessions:
    """All sessions of one console, by the hash of what the browser keeps; they end with the process."""

    def __init__(self, clock: Clock = time.monotonic) -> None:
        self._clock = clock
        self._signed_in: OrderedDict[str, Session] = OrderedDict()
        self._strangers: OrderedDict[str, Session] = OrderedDict()

    def begin(self, user: User | None = None) -> tuple[str, Session]:
        """A new session, and the secret by which it is found."""
        secret, now = secrets.token_urlsafe(32), self._clock()
        session = Session(self._clock, user, began=now, used=now)
        # guard: sessions bounded; strangers push out no user
        kept, most = (
            (self._strangers, _MOST_STRANGERS) if user is None else (self._signed_in, _MOST)
        )
        kept[_hash(secret)] = session
        while len(kept) > most:
            kept.popitem(last=False)[1].ended = True
        return secret, session

    def find(self, secret: str | None) -> Session | None:
        """The session of a secret, unless it is over; it is used by that."""
        if not secret:
            return None
        key = _hash(secret)
        for kept in (self._signed_in, self._strangers):
            session = kept.get(key)
            if session is None:
                continue
            if session.is_over:
                del kept[key]
                return None
            session.used = self._clock()
            kept.move_to_end(key)
            return session
        return None

    def end(self, secret: str | None) -> None:
        """End a session, whoever holds its secret."""
        for kept in (self._signed_in, self._strangers):
            if secret and (session := kept.pop(_hash(secret), None)):
                session.ended = True


class Attempts:
    """How often an address gave wrong passwords of late, for one name and in all: that slows guessing.

    What one address guesses keeps nobody out who comes from another.
    """

    def __init__(self, clock: Clock = time.monotonic) -> None:
        self._names = _Failed[tuple[str, str]](clock, _OF_NAME, _MOST_NAMES)
        self._clients = _Failed[str](clock, _OF_CLIENT, _MOST_CLIENTS)

    def wait(self, client: str, name: str) -> int:
        """Seconds until an address may try that name again; 0 where it may now."""
        # guard: what an address guesses slowed down
        return max(self._names.wait((client, name)), self._clients.wait(client))

    def failed(self, client: str, name: str) -> None:
        """An address gave a wrong password."""
        self._names.failed((client, name))
        self._clients.failed(client)


@attrs.define
class _Failed(Generic[K]):
    """When something failed of late, by who did it; after ``most`` times in a minute they wait."""

    clock: Clock
    most: int
    kept: int
    _failed: OrderedDict[K, list[float]] = attrs.field(factory=OrderedDict)

    def wait(self, key: K) -> int:
        now = self.clock()
        recent = [at for at in self._failed.get(key, ()) if now - at < _WINDOW]
        return 0 if len(recent) < self.most else max(1, round(recent[0] + _WINDOW - now))

    def failed(self, key: K) -> None:
        now = self.clock()
        recent = [at for at in self._failed.pop(key, ()) if now - at < _WINDOW]
        self._failed[key] = [*recent, now][-self.most :]
        while len(self._failed) > self.kept:
            self._failed.popitem(last=False)


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()
