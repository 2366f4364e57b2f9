"""Who may post: the checks of each source. Values and pure functions; ``senders_toml`` reads them.

All that is secret is compared in constant time, with each of several secrets, so that one can be
replaced while the other is still in use. What a check says of a request is yes or no, and no more.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import ClassVar, Protocol
from urllib.parse import parse_qsl, unquote_to_bytes

import attrs

from postledger.model import ACCEPTED, SENDER, UNVERIFIED
from postledger.server.addresses import Address, Network, Proxies, is_within
from postledger.server.signing import signature
from postledger.wire.media import media_type

_TIME = "webhook-timestamp"

TOLERANCE = 5 * 60
"""Seconds that the time of a signature may be off: what Standard Webhooks recommends."""

QUOTA = 10 << 20
"""Bytes of unverified events that are recorded of a source in an hour."""

RESERVED = {"livez", "readyz", "metrics"}
"""The paths of the server's own, which no source can have."""

RESPONSE = "response"
"""The last part of the path to which a program posts the provider's answers; also their sender."""

TAKEN = (ACCEPTED, RESPONSE, UNVERIFIED)
"""The senders that are of no rule, so that no rule can have their names."""

RULE_NAME = f"lower-case letters, digits, - and _, 64 at most, and not {', '.join(TAKEN)}"
"""What the name of a rule must be, in words."""

_SOURCE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._~-]{0,99}")
_SHA1 = 20
"""Bytes of an HMAC-SHA1."""

_FORM = "application/x-www-form-urlencoded"
_FIELDS = 1000
"""Fields of a form, at most: as many as the wire reads."""

_CANONICAL = re.compile(r"(?!--)(?:[A-Za-z0-9._~!$&'()*+,;=:@/?-]++|%[0-9A-Fa-f]{2})*+", re.ASCII)
"""A form as an encoder writes it (RFC 3986, query): the reader takes it for a form, and decodes it."""

_PIECE = re.compile(r".{1,4096}(?<!%)(?<!%.)", re.DOTALL)
"""Some of an encoded text, which ends where no escape goes on."""


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

    def may_pass(self, posted: Posted, at: float) -> bool:
        """Whether it may pass with some body: what is known before the body is read."""
        ...


class _Bodiless:
    """A check that needs no body."""

    def passes(self, posted: Posted, at: float) -> bool:
        """Whether a request shows it."""
        raise NotImplementedError

    def may_pass(self, posted: Posted, at: float) -> bool:
        """Whether it passes."""
        return self.passes(posted, at)


Secrets = tuple[bytes, ...]


@attrs.frozen
class Addresses(_Bodiless):
    """The request comes from one of some networks."""

    kind: ClassVar[str] = "addresses"
    networks: tuple[Network, ...]

    def passes(self, posted: Posted, at: float) -> bool:  # noqa: ARG002
        """Whether the address of the client is in one of them."""
        return is_within(posted.address, self.networks)


@attrs.frozen
class InPath(_Bodiless):
    """A secret follows the source in the path: ``/skycore/SECRET``."""

    kind: ClassVar[str] = "path"
    secrets: Secrets = attrs.field(repr=False)

    def passes(self, posted: Posted, at: float) -> bool:  # noqa: ARG002
        """Whether it is one of the secrets."""
        return equals((posted.rest or "").encode(errors="replace"), self.secrets)


@attrs.frozen
class Basic(_Bodiless):
    """A user and a password (RFC 7617); ``secrets`` are ``user:password``."""

    kind: ClassVar[str] = "basic"
    secrets: Secrets = attrs.field(repr=False)

    def passes(self, posted: Posted, at: float) -> bool:  # noqa: ARG002
        """Whether Authorization has one of the pairs."""
        scheme, _, given = posted.headers.get("authorization", "").partition(" ")
        return scheme.lower() == "basic" and equals(_decoded(given.strip(), "base64"), self.secrets)


@attrs.frozen
class InHeader(_Bodiless):
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

    def passes(self, posted: Posted, at: float) -> bool:
        """Whether it was made with one of the secrets."""
        made = (hmac.digest(one, posted.body, self.algorithm) for one in self.secrets)
        return self.may_pass(posted, at) and equals(self._given(posted), tuple(made))

    def may_pass(self, posted: Posted, at: float) -> bool:  # noqa: ARG002
        """Whether the header has something as long as a signature."""
        return len(self._given(posted)) == hashlib.new(self.algorithm).digest_size

    def _given(self, posted: Posted) -> bytes:
        value = posted.headers.get(self.header, "")
        text = value.removeprefix(self.prefix) if value.startswith(self.prefix) else ""
        return _decoded(text, self.encoding)


@attrs.frozen
class StandardWebhooks:
    """The signature of Standard Webhooks, https://www.standardwebhooks.com, version ``v1``.

    It covers an id, a time and the body, so that a request can't be sent again later.
    """

    kind: ClassVar[str] = "standard-webhooks"
    secrets: Secrets = attrs.field(repr=False)

    def passes(self, posted: Posted, at: float) -> bool:
        """Whether one of the signatures was made with one of the secrets, not long ago."""
        id_, time = posted.headers.get("webhook-id", ""), posted.headers.get(_TIME, "")
        if not self.may_pass(posted, at):
            return False
        made = tuple(signature(one, id_, time, posted.body) for one in self.secrets)
        found = [equals(one, made) for one in self._given(posted)]
        return any(found)

    def may_pass(self, posted: Posted, at: float) -> bool:
        """Whether it has an id, a time that is not long ago, and something as long as a signature."""
        time = posted.headers.get(_TIME, "")
        # guard: replayed signatures refused
        if not re.fullmatch(r"[0-9]{1,15}", time) or abs(at - int(time)) > TOLERANCE:
            return False
        return bool(posted.headers.get("webhook-id")) and bool(self._given(posted))

    def _given(self, posted: Posted) -> list[bytes]:
        signatures = posted.headers.get("webhook-signature", "").split(" ")
        found = (_decoded(one[3:], "base64") for one in signatures if one.startswith("v1,"))
        return [one for one in found if len(one) == sha256().digest_size]


@attrs.frozen
class SignedUrl:
    """A header has the HMAC-SHA1, in base64, of the URL and the sorted parameters of a form.

    ``public`` is the URL by which the sender knows this server, without a path. A body that isn't a
    form is covered by its SHA-256 in the query, ``bodySHA256``. What is signed is no more than names
    and values one after the other, so a form passes only where nothing else can be read in it.
    """

    kind: ClassVar[str] = "url-and-parameters"
    header: str
    public: str
    secrets: Secrets = attrs.field(repr=False)

    def passes(self, posted: Posted, at: float) -> bool:
        """Whether it was made with one of the secrets."""
        # guard: a body is looked through only for something as long as a signature
        if not self.may_pass(posted, at):
            return False
        parameters = _parameters(posted)
        if parameters is None:
            return False
        signed = f"{self.public}{posted.url}{parameters}".encode()
        made = tuple(hmac.digest(one, signed, "sha1") for one in self.secrets)
        return equals(self._given(posted), made)

    def may_pass(self, posted: Posted, at: float) -> bool:  # noqa: ARG002
        """Whether the header has something as long as a signature."""
        return len(self._given(posted)) == _SHA1

    def _given(self, posted: Posted) -> bytes:
        return _decoded(posted.headers.get(self.header, ""), "base64")


def _parameters(posted: Posted) -> str | None:
    """The parameters of a form as they are signed; ``None`` where nothing covers the body."""
    # The query is part of the URL.
    if not posted.body or posted.is_query:
        return ""
    media = media_type(posted.headers.get("content-type"))
    try:
        if media.name == _FORM:
            # guard: no header that isn't signed changes what is read
            is_plain = _is_plain(media.charset, posted.headers.get("content-encoding", ""))
            return _signed_form(posted.body.decode("ascii")) if is_plain else None
        query = parse_qsl(posted.query.decode("ascii"), max_num_fields=_FIELDS)
    except ValueError:
        return None
    stated = _decoded(dict(query).get("bodySHA256", ""), "hex")
    # guard: a body that no signature covers is refused
    return "" if equals(stated, (sha256(posted.body).digest(),)) else None


def _is_plain(charset: str | None, content_encoding: str) -> bool:
    """Whether the text of a form is what is read: no signature covers these headers."""
    codings = content_encoding.strip().lower(), (charset or "utf-8").lower()
    return codings[0] in ("", "identity") and codings[1] in ("utf-8", "us-ascii")


def _signed_form(text: str) -> str | None:
    """Names and values in order; ``None`` where the reader could find another XML in it."""
    # guard: a form that is read otherwise than it is signed is refused
    if not _CANONICAL.fullmatch(text):
        return None
    # guard: a form has no more fields than are read
    if text.count("&") >= _FIELDS:
        return None
    fields = (field.partition("=") for field in text.split("&") if field)
    pairs = [(_text(name), _text(value)) for name, _, value in fields]
    ordered = sorted(set(pairs))
    is_xml = [name.strip().lower() == "xml" for name, _ in pairs]
    # Twice, or before another, its end could be moved into the name of the next.
    # guard: the end of what is signed is the end of what is read
    if any(is_xml) and (sum(is_xml) > 1 or ordered[-1] != pairs[is_xml.index(True)]):
        return None
    return "".join(f"{name}{value}" for name, value in ordered)


def _text(encoded: str) -> str:
    """A name or a value of a form, decoded in pieces: whole it would take ninety times its size."""
    pieces = _PIECE.finditer(encoded.replace("+", " "))
    return b"".join(unquote_to_bytes(piece[0]) for piece in pieces).decode()


def is_rule_name(value: object) -> bool:
    """Whether a rule can have that name: it is the sender of what passes.

    >>> is_rule_name("hmac"), is_rule_name("Hmac"), is_rule_name("unverified")
    (True, False, False)
    """
    return isinstance(value, str) and bool(SENDER.fullmatch(value)) and value not in TAKEN


@attrs.frozen
class Rule:
    """A check by its name, or several of which each must pass.

    Raises ``ValueError`` for a name that no sender can have.
    """

    name: str = attrs.field()
    checks: tuple[Check, ...]

    @name.validator
    def _require_name(self, _: object, name: object) -> None:
        # guard: a rule has a name that can be recorded
        if not is_rule_name(name):
            raise ValueError(f"name must be {RULE_NAME}, got {name!r}")

    def failed(self, posted: Posted, at: float, *, is_read: bool) -> list[str]:
        """The kinds of the checks that fail; what needs the body is not tried where others failed."""
        failed = [one.kind for one in self.checks if not one.may_pass(posted, at)]
        if failed or not is_read:
            return failed
        return [one.kind for one in self.checks if not one.passes(posted, at)]


@attrs.frozen
class Judgement:
    """Who posted, or ``UNVERIFIED`` and the kinds of the checks that failed, each once."""

    sender: str
    failed: tuple[str, ...] = ()


@attrs.frozen
class Rules:
    """Who may post to a source: whoever passes one of the rules.

    What passes none is recorded as unverified, up to ``quota`` bytes an hour, or not at all with
    ``refuse``. ``response`` are the tokens of those who may post the provider's answers.

    >>> rules = Rules((Rule("path", (InPath((b"s3cret",)),)),))
    >>> posted = Posted("/skycore/s3cret", b"", {}, b"", rest="s3cret")
    >>> rules.judge(posted, at=0)
    Judgement(sender='path', failed=())
    >>> rules.judge(attrs.evolve(posted, rest="guessed"), at=0)
    Judgement(sender='unverified', failed=('path',))
    """

    rules: tuple[Rule, ...]
    refuse: bool = False
    quota: int = QUOTA
    response: Secrets = attrs.field(default=(), repr=False)

    @property
    def in_path(self) -> bool:
        """Whether a secret may follow the source in the path."""
        return self._have(InPath)

    @property
    def by_basic(self) -> bool:
        """Whether a user and a password may be asked for."""
        return self._have(Basic)

    def _have(self, kind: type) -> bool:
        return any(isinstance(check, kind) for rule in self.rules for check in rule.checks)

    def judge(self, posted: Posted, at: float, *, is_read: bool = True) -> Judgement:
        """The first rule that a request passes; where its body isn't read, the first that it may pass."""
        failed: list[str] = []
        for rule in self.rules:
            missed = rule.failed(posted, at, is_read=is_read)
            if not missed:
                return Judgement(rule.name)
            failed += missed
        return Judgement(UNVERIFIED, tuple(dict.fromkeys(failed)))

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
