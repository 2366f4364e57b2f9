"""Who may post: the checks of each source. Values and pure functions; ``senders_toml`` reads them.

All that is secret is compared in constant time, with each of several secrets, so that one can be
replaced while the other is still in use. What a check says of a request is yes or no, and no more.
"""

from __future__ import annotations

import base64
import hmac
import re
from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import ClassVar, Protocol
from urllib.parse import parse_qsl

import attrs

from postledger.model import UNVERIFIED
from postledger.server.addresses import Address, Network, Proxies, is_within
from postledger.server.signing import signature

TOLERANCE = 5 * 60
"""Seconds that the time of a signature may be off: what Standard Webhooks recommends."""

QUOTA = 10 << 20
"""Bytes of unverified events that are recorded of a source in an hour."""

RESERVED = {"livez", "readyz", "metrics"}
"""The paths of the server's own, which no source can have."""

RESPONSE = "response"
"""The last part of the path to which a program posts the provider's answers; also their sender."""

_SOURCE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._~-]{0,99}")
_FORM = "application/x-www-form-urlencoded"


@attrs.frozen
class Posted:
    """What the checks see of a request.

    ``url`` is the path and the query as they were received, ``rest`` what follows the source in the
    path, ``headers`` have names in lower case, ``address`` is that of the client. Of a GET ``body`` is
    the query (``is_query``): what a signature covers is what is recorded.
    """

    url: str = attrs.field(repr=False)
    query: bytes = attrs.field(repr=False)
    headers: Mapping[str, str] = attrs.field(repr=False)
    body: bytes = attrs.field(repr=False)
    address: Address | None = None
    rest: str | None = attrs.field(default=None, repr=False)
    is_query: bool = False


class Check(Protocol):
    """One thing that a request must show; ``kind`` is what the senders file calls it."""

    @property
    def kind(self) -> str: ...

    def passes(self, posted: Posted, at: float) -> bool:
        """Whether a request shows it; ``at`` is the time in seconds since 1970."""
        ...


Secrets = tuple[bytes, ...]


@attrs.frozen
class Addresses:
    """The request comes from one of some networks."""

    kind: ClassVar[str] = "addresses"
    networks: tuple[Network, ...]

    def passes(self, posted: Posted, at: float) -> bool:  # noqa: ARG002
        """Whether the address of the client is in one of them."""
        return is_within(posted.address, self.networks)


@attrs.frozen
class InPath:
    """A secret follows the source in the path: ``/skycore/SECRET``."""

    kind: ClassVar[str] = "path"
    secrets: Secrets = attrs.field(repr=False)

    def passes(self, posted: Posted, at: float) -> bool:  # noqa: ARG002
        """Whether it is one of the secrets."""
        return equals((posted.rest or "").encode(errors="replace"), self.secrets)


@attrs.frozen
class Basic:
    """A user and a password (RFC 7617); ``secrets`` are ``user:password``."""

    kind: ClassVar[str] = "basic"
    secrets: Secrets = attrs.field(repr=False)

    def passes(self, posted: Posted, at: float) -> bool:  # noqa: ARG002
        """Whether Authorization has one of the pairs."""
        scheme, _, given = posted.headers.get("authorization", "").partition(" ")
        return scheme.lower() == "basic" and equals(_decoded(given.strip(), "base64"), self.secrets)


@attrs.frozen
class InHeader:
    """A header has the secret, after a prefix such as ``Bearer `` (RFC 6750)."""

    kind: ClassVar[str] = "header"
    header: str
    prefix: str
    secrets: Secrets = attrs.field(repr=False)

    def passes(self, posted: Posted, at: float) -> bool:  # noqa: ARG002
        """Whether the header has one of the secrets."""
        value = posted.headers.get(self.header, "")
        is_one = equals(value.removeprefix(self.prefix).encode("latin-1"), self.secrets)
        return is_one and value.startswith(self.prefix)


@attrs.frozen
class SignedBody:
    """A header has the HMAC (RFC 2104) of the body as received."""

    kind: ClassVar[str] = "hmac"
    header: str
    algorithm: str
    encoding: str
    prefix: str
    secrets: Secrets = attrs.field(repr=False)

    def passes(self, posted: Posted, at: float) -> bool:  # noqa: ARG002
        """Whether it was made with one of the secrets."""
        value = posted.headers.get(self.header, "")
        signature = _decoded(value.removeprefix(self.prefix), self.encoding)
        made = (hmac.digest(one, posted.body, self.algorithm) for one in self.secrets)
        return equals(signature, tuple(made)) and value.startswith(self.prefix)


@attrs.frozen
class StandardWebhooks:
    """The signature of Standard Webhooks, https://www.standardwebhooks.com, version ``v1``.

    It covers an id, a time and the body, so that a request can't be sent again later.
    """

    kind: ClassVar[str] = "standard-webhooks"
    secrets: Secrets = attrs.field(repr=False)

    def passes(self, posted: Posted, at: float) -> bool:
        """Whether one of the signatures was made with one of the secrets, not long ago."""
        names = ("webhook-id", "webhook-timestamp", "webhook-signature")
        id_, time, signatures = (posted.headers.get(name, "") for name in names)
        # guard: replayed signatures refused
        if not re.fullmatch(r"[0-9]{1,15}", time) or abs(at - int(time)) > TOLERANCE:
            return False
        made = tuple(signature(one, id_, time, posted.body) for one in self.secrets)
        given = (one.partition(",") for one in signatures.split(" "))
        found = [
            version == "v1" and equals(_decoded(text, "base64"), made) for version, _, text in given
        ]
        return bool(id_) and any(found)


@attrs.frozen
class SignedUrl:
    """A header has the HMAC-SHA1, in base64, of the URL and the sorted parameters of a form.

    ``public`` is the URL by which the sender knows this server, without a path. A body that isn't a
    form is covered by its SHA-256 in the query, ``bodySHA256``.
    """

    kind: ClassVar[str] = "url-and-parameters"
    header: str
    public: str
    secrets: Secrets = attrs.field(repr=False)

    def passes(self, posted: Posted, at: float) -> bool:  # noqa: ARG002
        """Whether it was made with one of the secrets."""
        parameters = _parameters(posted)
        signed = f"{self.public}{posted.url}{parameters or ''}".encode()
        made = tuple(hmac.digest(one, signed, "sha1") for one in self.secrets)
        is_one = equals(_decoded(posted.headers.get(self.header, ""), "base64"), made)
        # guard: a body that no signature covers is refused
        return is_one and parameters is not None


def _parameters(posted: Posted) -> str | None:
    """The parameters of a form as they are signed; ``None`` where nothing covers the body."""
    # The query is part of the URL.
    if not posted.body or posted.is_query:
        return ""
    content_type = posted.headers.get("content-type", "").partition(";")[0].strip().lower()
    try:
        if content_type == _FORM:
            pairs = parse_qsl(posted.body.decode("ascii"), keep_blank_values=True, errors="strict")
            return "".join(f"{name}{value}" for name, value in sorted(set(pairs)))
        stated = dict(parse_qsl(posted.query.decode("ascii"))).get("bodySHA256", "")
    except ValueError:
        return None
    return "" if equals(_decoded(stated, "hex"), (sha256(posted.body).digest(),)) else None


@attrs.frozen
class Rule:
    """A check by its name, or several of which each must pass."""

    name: str
    checks: tuple[Check, ...]

    def passes(self, posted: Posted, at: float) -> bool:
        """Whether a request passes all of them."""
        return all(check.passes(posted, at) for check in self.checks)


@attrs.frozen
class Rules:
    """Who may post to a source: whoever passes one of the rules.

    What passes none is recorded as unverified, up to ``quota`` bytes an hour, or not at all with
    ``refuse``. ``response`` are the tokens of those who may post the provider's answers.

    >>> rules = Rules((Rule("path", (InPath((b"s3cret",)),)),))
    >>> posted = Posted("/skycore/s3cret", b"", {}, b"", rest="s3cret")
    >>> rules.sender(posted, at=0), rules.sender(attrs.evolve(posted, rest="guessed"), at=0)
    ('path', 'unverified')
    """

    rules: tuple[Rule, ...]
    refuse: bool = False
    quota: int = QUOTA
    response: Secrets = attrs.field(default=(), repr=False)

    @property
    def in_path(self) -> bool:
        """Whether a secret may follow the source in the path."""
        return any(isinstance(check, InPath) for rule in self.rules for check in rule.checks)

    def sender(self, posted: Posted, at: float) -> str:
        """The name of the first rule that a request passes, or ``UNVERIFIED``."""
        return next((rule.name for rule in self.rules if rule.passes(posted, at)), UNVERIFIED)

    def failed(self, posted: Posted, at: float) -> list[str]:
        """The kinds of the checks that a request does not pass, each once."""
        checks = (check for rule in self.rules for check in rule.checks)
        return list(dict.fromkeys(one.kind for one in checks if not one.passes(posted, at)))

    def may_respond(self, posted: Posted) -> bool:
        """Whether a request may give the provider's answer to the program."""
        return InHeader("authorization", "Bearer ", self.response).passes(posted, 0)


@attrs.frozen
class Senders:
    """Who may post, by source, and the proxies that are trusted to say where a request comes from.

    >>> Senders({}).proxies
    0
    """

    sources: Mapping[str, Rules]
    proxies: Proxies = 0


def require_source(name: str) -> None:
    """Raise ``ValueError`` for the name of a source that can't stand in a path.

    >>> require_source("livez")
    Traceback (most recent call last):
        ...
    ValueError: a source must be letters, digits and . _ ~ -, 100 at most, and not livez, ...
    """
    if not _SOURCE.fullmatch(name) or name in RESERVED:
        *first, last = sorted(RESERVED)
        raise ValueError(
            "a source must be letters, digits and . _ ~ -, 100 at most, and not"
            f" {', '.join(first)} or {last}, got {name!r}"
        )


def equals(given: bytes, secrets: Sequence[bytes]) -> bool:
    """Whether a value is one of some secrets; how long it takes doesn't say how much of it is right."""
    # A sum, since `any` would stop at the first that is equal.
    return sum(hmac.compare_digest(given, one) for one in secrets) > 0


def _decoded(text: str, encoding: str) -> bytes:
    """A signature as bytes; empty where it isn't in that encoding, which equals no signature."""
    try:
        return bytes.fromhex(text) if encoding == "hex" else base64.b64decode(text, validate=True)
    except ValueError:
        return b""
