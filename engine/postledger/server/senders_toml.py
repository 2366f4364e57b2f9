"""The senders file: TOML to the rules of each source.

No message shows what stands where a secret belongs. Addresses and headers show as they are written; of
another value no more shows than what its key can take: a secret may have slipped into it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from ipaddress import ip_network
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import attrs

from postledger.arguments import FilePath, shown
from postledger.definitions.diagnostics import Faults, Table, load_toml
from postledger.errors import PostledgerError
from postledger.server.addresses import Network, Proxies, networks_of
from postledger.server.senders import (
    QUOTA,
    RESPONSE,
    RULE_NAME,
    Addresses,
    Basic,
    Check,
    InHeader,
    InPath,
    Rule,
    Rules,
    Secrets,
    Senders,
    SignedBody,
    SignedUrl,
    StandardWebhooks,
    is_rule_name,
    require_source,
)
from postledger.server.signing import read_secret, webhook_key

_ALGORITHMS = ("sha1", "sha256", "sha384", "sha512")
_ENCODINGS = ("hex", "base64")
_HEADER = re.compile(r"[A-Za-z0-9-]+")
_LONGEST = 40
_HOW = '"env:NAME", "file:PATH", the secret itself, or a list of these'


def load_senders(path: FilePath) -> Senders:
    """Read a senders file; raises ``DefinitionError`` with all that is wrong in it.

    >>> import pathlib
    >>> file = pathlib.Path("senders.toml")
    >>> written = file.write_text('''
    ... [[sources.skycore.checks]]
    ... kind = "path"
    ... secret = "a long random text"
    ... ''')
    >>> load_senders(file)
    Traceback (most recent call last):
        ...
    postledger.errors.DefinitionError: senders.toml: sources.skycore.checks[1]: secret can't stand ...
    """
    file = Path(path)
    faults = Faults(str(file))
    senders = faults.attempt(_senders, Table(faults, load_toml(file)), file.parent)
    faults.settle()
    assert senders is not None
    return senders


@attrs.frozen
class _File:
    """What the checks need of the rest of the file: where paths begin, and the public URL."""

    folder: Path
    public: str


def _senders(top: Table, folder: Path) -> Senders:
    faults = top.faults
    faults.attempt(top.only, {"public_url", "proxies", "sources"})
    proxies = faults.attempt(_proxies, top)
    file = _File(folder, faults.attempt(_public, top) or "")
    listed = top.row.get("sources")
    if not isinstance(listed, dict) or not listed:
        raise top.fault("sources are missing", "write [[sources.NAME.checks]] tables")
    rules = {name: faults.attempt(_rules, name, row, file, faults) for name, row in listed.items()}
    return Senders({name: one for name, one in rules.items() if one}, proxies or 0)


def _public(top: Table) -> str:
    if "public_url" not in top.row:
        return ""
    fix = 'write public_url = "https://hooks.example.org", by which senders know this server'

    def fits(value: object) -> bool:
        try:
            url = urlsplit(value) if isinstance(value, str) else None
        except ValueError:
            return False
        is_http = url is not None and url.scheme in ("http", "https")
        return bool(url and is_http and url.netloc and not url.query and not url.fragment)

    url: str = _value(top, "public_url", fits, fix, takes=r"[\w.:/-]*(?![^?#]*@)")
    return url.rstrip("/")


def _proxies(top: Table) -> Proxies:
    value = top.row.get("proxies", 0)
    if type(value) is int and value >= 0:
        return value
    return _networks(top, "proxies", ", or the number of proxies in front")


def _networks(table: Table, key: str, other: str = "") -> tuple[Network, ...]:
    fix = f'write {key} = ["192.0.2.0/24", …]{other}'

    def fits(value: Any) -> bool:
        return (
            isinstance(value, list) and all(isinstance(one, str) for one in value) and value != []
        )

    listed: list[str] = _value(table, key, fits, fix)
    return tuple(_network(table, key, one, fix) for one in listed)


def _network(table: Table, key: str, text: str, fix: str) -> Network:
    try:
        (network,) = networks_of([text])
    except ValueError:
        pass
    else:
        return network
    with suppress(ValueError):
        whole = ip_network(text, strict=False)
        address = text.partition("/")[0]
        raise table.fault(f"{key}: {text} has host bits set", f"write {whole} or {address}")
    raise table.fault(f"{key}: {shown(text)} is not an address or network", fix)


def _rules(name: str, row: Any, file: _File, faults: Faults) -> Rules:
    table = Table(faults, row, f"sources.{name}")
    try:
        require_source(name)
    except ValueError as error:
        raise table.fault("not the name of a source", str(error)) from None
    if isinstance(row, dict) and not isinstance(row.get("checks", []), list):
        fix = f"write [[sources.{name}.checks]], or checks = [{{ … }}]"
        raise table.fault("checks must be an array of tables", fix)
    if isinstance(row, dict):
        faults.attempt(table.only, {"checks", "refuse", "quota", "response"})
    if not isinstance(row, dict) or not row.get("checks"):
        raise table.fault("checks are missing", f"write [[sources.{name}.checks]] tables")
    fix = "write the number of bytes an hour, such as quota = 1048576"
    quota = faults.attempt(_value, table, "quota", _is_count, fix, default=QUOTA)
    tokens = faults.attempt(_secrets, table, "response", file) if "response" in row else None
    refuse = faults.attempt(table.flag, "refuse")
    rules: dict[str, Rule] = {}
    for number, one in enumerate(row["checks"], 1):
        rule = faults.attempt(_rule, Table(faults, one, f"{table.place}.checks[{number}]"), file)
        if rule and rule.name in rules:
            fix = 'give one of them another: name = "…"'
            faults.note(table.place, f"two checks have the name {rule.name!r}", fix)
        elif rule:
            rules[rule.name] = rule
    # What is missing here was noted, and is raised with the rest.
    return Rules(tuple(rules.values()), bool(refuse), quota or 0, tokens or ())


def _rule(table: Table, file: _File) -> Rule:
    if not isinstance(table.row, dict):
        raise table.fault("not a table", 'write { kind = "…" }')
    kind = table.row.get("kind")
    keys = _KINDS[kind][0] if isinstance(kind, str) and kind in _KINDS else _EVERY
    table.faults.attempt(table.only, {"kind", "name", "addresses", *keys})
    kind = _one_of(table, "kind", tuple(_KINDS))
    make = _KINDS[kind][1]
    name: str = _value(table, "name", is_rule_name, f"write {RULE_NAME}", default=kind)
    checks: list[Check] = []
    if "addresses" in table.row or kind == "addresses":
        checks.append(Addresses(_networks(table, "addresses")))
    if make is not None:
        checks.append(make(table, file))
    return Rule(name, tuple(checks))


def _is_count(value: object) -> bool:
    return type(value) is int and value >= 0


def _value(
    table: Table,
    key: str,
    fits: Callable[[Any], object],
    fix: str,
    default: object = None,
    takes: str = r"[\w-]*",
) -> Any:
    """The value of a key; of what is wrong with it shows what fits ``takes``."""
    value = table.row.get(key, default)
    if not fits(value):
        seen = _seen(value, takes) if key in table.row else "missing"
        raise table.fault(f"{key} is {seen}", fix)
    return value


def _seen(value: object, takes: str) -> str:
    """A value as messages show it: a text as far as its key can take it, which ends before a secret."""
    if isinstance(value, list | dict):
        kind = "an array" if isinstance(value, list) else "a table"
        return kind if value else f"an empty {kind.split()[1]}"
    if not isinstance(value, str):
        return str(value).lower() if isinstance(value, bool) else shown(value)
    match = re.match(takes, value)
    fit = match[0][:_LONGEST] if match else ""
    return repr(fit if fit == value else f"{fit}…")


# --- what is secret ---


def _secrets(table: Table, key: str, file: _File) -> Secrets:
    """The secrets of a key. Their text shows in no message: it may be a secret all the same."""
    value = table.row.get(key)
    listed = [value] if isinstance(value, str) else value
    if not isinstance(listed, list) or not listed or not all(isinstance(s, str) for s in listed):
        fault = f"{key} is {'invalid' if key in table.row else 'missing'}"
        raise table.fault(fault, f"write {key} = {_HOW}")
    read = [table.faults.attempt(_secret, table, key, one, file.folder) for one in listed]
    # What can't be read was noted, and is raised with the rest.
    return tuple(one for one in read if one)


def _secret(table: Table, key: str, given: str, folder: Path) -> bytes:
    try:
        return read_secret(given, folder)
    except PostledgerError as error:
        fault, _, fix = str(error).rpartition("; ")
        raise table.fault(f"{key}: {fault}", fix) from None


# --- the kinds of checks ---


def _in_path(table: Table, file: _File) -> Check:
    secrets = _secrets(table, "secret", file)
    for one in secrets:
        if not re.fullmatch(rb"[A-Za-z0-9._~-]+", one) or one == RESPONSE.encode():
            fix = "use letters, digits and . _ ~ - alone, and not 'response'"
            raise table.fault("secret can't stand in a path", fix)
    return InPath(secrets)


def _basic(table: Table, file: _File) -> Check:
    fix = 'write user = "…", without a colon'
    user: str = _value(
        table, "user", lambda value: isinstance(value, str) and ":" not in value, fix
    )
    return Basic(tuple(f"{user}:".encode() + one for one in _secrets(table, "password", file)))


def _in_header(table: Table, file: _File) -> Check:
    return InHeader(_header(table), _prefix(table), _secrets(table, "secret", file))


def _signed_body(table: Table, file: _File) -> Check:
    algorithm = _one_of(table, "algorithm", _ALGORITHMS, "sha256")
    encoding = _one_of(table, "encoding", _ENCODINGS, "hex")
    secrets = _secrets(table, "secret", file)
    return SignedBody(_header(table), algorithm, encoding, _prefix(table), secrets)


def _standard_webhooks(table: Table, file: _File) -> Check:
    keys = tuple(map(webhook_key, _secrets(table, "secret", file)))
    if not all(keys):
        fix = "write it as the sender shows it, whsec_ and base64"
        raise table.fault("secret is not base64", fix)
    return StandardWebhooks(keys)


def _signed_url(table: Table, file: _File) -> Check:
    if not file.public:
        fix = 'write public_url = "https://hooks.example.org" at the top, which the sender signs'
        raise table.fault("requires public_url", fix)
    return SignedUrl(_header(table), file.public, _secrets(table, "secret", file))


def _header(table: Table) -> str:
    fix, header = 'write header = "X-Signature"', table.row.get("header", "")
    if isinstance(header, str) and header and not _is_header(header):
        raise table.fault(f"header is {shown(header)}", fix)
    _value(table, "header", _is_header, fix)
    return str(header).lower()


def _is_header(value: object) -> bool:
    return isinstance(value, str) and _HEADER.fullmatch(value) is not None


def _prefix(table: Table) -> str:
    fix = 'write prefix = "sha256="'
    prefix: str = _value(table, "prefix", lambda value: isinstance(value, str), fix, default="")
    return prefix


def _one_of(table: Table, key: str, words: tuple[str, ...], default: str | None = None) -> str:
    fix = f"write one of {', '.join(words)}"
    word: str = _value(table, key, words.__contains__, fix, default=default)
    return word


_KINDS: Mapping[str, tuple[set[str], Callable[[Table, _File], Check] | None]] = {
    "path": ({"secret"}, _in_path),
    "basic": ({"user", "password"}, _basic),
    "header": ({"header", "prefix", "secret"}, _in_header),
    "hmac": ({"header", "prefix", "secret", "algorithm", "encoding"}, _signed_body),
    "standard-webhooks": ({"secret"}, _standard_webhooks),
    "url-and-parameters": ({"header", "secret"}, _signed_url),
    "addresses": (set(), None),
}
_EVERY = {key for keys, _ in _KINDS.values() for key in keys}
