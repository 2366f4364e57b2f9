"""Addresses: where a ledger is, if not in a file: a schema of a PostgreSQL database."""

from __future__ import annotations

import os
import re
from pathlib import Path
from urllib.parse import SplitResult, quote, unquote, urlencode, urlsplit

import attrs

SCHEME = "postgresql"
_SCHEMES = (SCHEME, "postgres")
_SCHEMA = re.compile(r"(?!pg_)[a-z_][a-z0-9_]{0,47}")
_SECRET = re.compile(r"password|secret|scram_\w+_key")
"""What of a parameter's name says that nobody may see its value."""
_HIDDEN = "***"
# In a text of any kind, also where a path was made of it: behind a user's or a parameter's name.
_PASSWORD = re.compile(
    r"(:/+[^/\s:@]*:)[^@\s]+(?=@)|((?:\b|ssl)password=|[?&][\w-]*(?:secret|token|access_key)[\w-]*=)[^&\s'\"]+"
)


@attrs.frozen
class Address:
    """The address of a ledger on a PostgreSQL server.

    It is a URL as libpq has it (PostgreSQL, "Connection URIs"), with parameters of Postledger's own:
    ``schema`` names the schema that holds the ledger (``postledger``), ``role`` the role that each
    session takes, ``durability=off`` allows a server that loses what it acknowledged, as tests want it.
    Its text never shows a password.

    >>> address = Address.parse("postgresql://me:secret@db.example.com/sms?schema=receipts")
    >>> str(address), address.name
    ('postgresql://me@db.example.com/sms?schema=receipts', 'receipts')
    """

    conninfo: str = attrs.field(repr=False)
    shown: str
    schema: str
    role: str | None = None
    durable: bool = True
    secrets: tuple[str, ...] = attrs.field(default=(), repr=False)

    @classmethod
    def parse(cls, text: str) -> Address:
        """Read an address; raises ``ValueError`` where the text is not one."""
        parts = _split(text)
        given = _given(parts.query)
        own = {name: value for name, value in given if name in ("schema", "role", "durability")}
        others = [one for one in given if one[0] not in own]
        schema = own.get("schema", "postledger")
        if not _SCHEMA.fullmatch(schema):
            raise ValueError(
                "schema must be lower-case letters, digits and _, at most 48 of them, not beginning"
                f" with a digit or pg_, got {schema!r}"
            )
        if own.get("durability", "on") not in ("on", "off"):
            raise ValueError(f"durability must be on or off, got {own['durability']!r}")
        user, _, host = parts.netloc.rpartition("@")
        name, _, password = user.partition(":")
        secret, plain = _apart(given)
        clear = {unquote(password), *secret}
        # As they are, as they were given, and as they go to libpq.
        cited = {password, *_as_written(parts), *clear, *map(_encoded, clear)}
        at = f"{name}@{host}" if name else host
        return cls(
            conninfo=_url(parts.netloc, parts.path, others),
            shown=_url(at, parts.path, plain),
            schema=schema,
            role=own.get("role") or None,
            durable=own.get("durability", "on") == "on",
            secrets=tuple(sorted(filter(None, cited), key=len, reverse=True)),
        )

    @property
    def name(self) -> str:
        """What the ledger is called: its schema."""
        return self.schema

    def without_secrets(self, text: str) -> str:
        """A text, such as a message of the server, without any password of the address."""
        for secret in self.secrets:
            text = text.replace(secret, _HIDDEN)
        return text

    def __str__(self) -> str:
        return self.shown


Location = Path | Address
"""Where a ledger is: a file, or a schema on a server."""


def hidden(text: str) -> str:
    """A text without the passwords of addresses in it, which may be mistyped.

    >>> from postledger.address import hidden
    >>> hidden("postgres://me:secret@db.example.com/sms: no such file")
    'postgres://me:***@db.example.com/sms: no such file'
    """
    return _PASSWORD.sub(rf"\1\2{_HIDDEN}", text)


def is_address(text: str) -> bool:
    """Whether a text is meant as an address, and not as the path of a file."""
    # One that is mistyped makes no file with a password for a name.
    return re.match(r"\s*postgres\w*(\+\w+)?:", text, re.IGNORECASE) is not None


def named_in_reports(path: Location) -> str:
    """The name of a ledger's file, or its address, which commands take too."""
    # A name that is not UTF-8 can't be written as it is.
    name = str(path) if isinstance(path, Address) else path.name
    return os.fsencode(name).decode(errors="replace")


def _bad_port(parts: SplitResult) -> bool:
    ports = (
        one.rpartition(":")[2] for one in parts.netloc.rpartition("@")[2].split(",") if ":" in one
    )
    # An IPv6 address has colons of its own, and ends with a bracket.
    return any(not one.isdecimal() and not one.endswith("]") for one in ports if one)


def _split(text: str) -> SplitResult:
    try:
        parts = urlsplit(text)
        whole = parts.scheme in _SCHEMES and text.partition(":")[2].startswith("//")
        if not whole or parts.fragment or "\0" in text or text != text.strip():
            raise ValueError
        # A password with such a character would be cut there, and its end be shown as a host.
        if parts.netloc.count("@") > 1 or "@" in f"{parts.path}{parts.query}" or _bad_port(parts):
            raise ValueError
    except ValueError:
        # What it is may hold a password.
        scheme = text.partition(":")[0]
        raise ValueError(
            "address must look like postgresql://user@host/database?schema=postledger,"
            f" with %40, %2F, %3F and so on for @, / and ? in a password; got another form ({scheme}:…)"
        ) from None
    return parts


Parameters = list[tuple[str, str]]


def _written(query: str) -> Parameters:
    return [(name, value) for name, _, value in (one.partition("=") for one in query.split("&"))]


def _given(query: str) -> Parameters:
    # libpq takes a plus for what it is.
    return [(unquote(name), unquote(value)) for name, value in _written(query) if name]


def _url(netloc: str, path: str, given: Parameters) -> str:
    # One without a host has its slashes too.
    query = urlencode(given, quote_via=quote, safe="/")
    return f"{SCHEME}://{netloc}{path}" + (f"?{query}" if query else "")


def _encoded(text: str) -> str:
    return quote(text, safe="/")


def _apart(given: Parameters) -> tuple[list[str], Parameters]:
    """The passwords among parameters, and the others."""
    secret = [value for name, value in given if _SECRET.search(name)]
    return secret, [one for one in given if not _SECRET.search(one[0])]


def _as_written(parts: SplitResult) -> list[str]:
    return [value for name, value in _written(parts.query) if _SECRET.search(unquote(name))]
