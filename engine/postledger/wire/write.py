"""Writing: a postback as the bytes of the wire, for tests and simulations.

What is written here is read back equal: ``read(write(postback))`` gives the postback. The names of
the fields are written as they are, so that the generation of the wire is that of the postback.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any
from urllib.parse import urlencode

import xmltodict

from postledger.postback import UNCUT, Postback, Shape, plain
from postledger.wire.form import MOST_FIELDS
from postledger.wire.receipt import receipt_of
from postledger.wire.repair import MEMBER

# XML forbids control characters and half characters; \r would come back as \n.
_FORBIDDEN = re.compile("[\0-\x08\x0b-\x1f\x7f-\x84\x86-\x9f\ud800-\udfff￾￿]")
_NAME = re.compile(r"[A-Za-z_][\w.-]*", re.ASCII)


def write_xml(*postbacks: Postback, bundle: str | None = None) -> bytes:
    """One postback as XML, or several as members of an element named ``bundle``.

    Raises ``ValueError`` for a postback that has no XML form: one without a root, with a name that
    is none in XML, or with a text that XML can't hold.

    >>> write_xml(Postback("POSTBACK", (("TO", "16501112222"), ("STATUS@celly", "20"))))[39:]
    b'<POSTBACK><TO>16501112222</TO><STATUS celly="20"></STATUS></POSTBACK>'
    """
    members = [(postback.root, _element(postback)) for postback in postbacks]
    if bundle is not None:
        for root, _ in members:
            if root.upper() != MEMBER:
                raise ValueError(f"the members of a bundle must be {MEMBER} elements, got {root!r}")
        members = [(bundle, _Pairs(members))]
    if len(members) != 1:
        raise ValueError(
            f"postbacks must be one, or go with a bundle that names their element, got {len(members)}"
        )
    return str(xmltodict.unparse(_Pairs(members))).encode()


def write_json(*postbacks: Postback, shape: Shape = UNCUT) -> bytes:
    """One postback as a JSON object, several as an array of objects.

    A root wraps its object. Where the shape has a list, that is one of one member; what stands below
    the path of an embedded body is written as its text. Raises ``ValueError`` for a postback that has
    no JSON form.

    >>> write_json(Postback("", (("spid", "0001470"), ("to", "16501112222"))))
    b'{"spid": "0001470", "to": "16501112222"}'
    """
    objects = [_object(postback, shape) for postback in postbacks]
    written = objects[0] if len(objects) == 1 else objects
    return json.dumps(written, ensure_ascii=False).encode()


def write_form(postback: Postback, *, shape: Shape = UNCUT) -> bytes:
    """One postback as an urlencoded form, with ``+`` for a space and ``%2B`` for a plus sign.

    Embedded bodies are written as those of JSON. Raises ``ValueError`` for a postback that has no such
    form: with a root, an attribute or a repair, without a field, with one that is named ``xml``, or with
    blanks around a text.

    >>> write_form(Postback("", (("To", "+16501112222"), ("Status", "not sent"))))
    b'To=%2B16501112222&Status=not+sent'
    """
    if postback.root or postback.attributes or postback.repaired or not postback.fields:
        raise ValueError(
            f"postback must have fields, no root, no attributes and no repair, got {postback}"
        )
    if len(postback.fields) > MOST_FIELDS:
        raise ValueError(f"fields must be at most {MOST_FIELDS}, got {len(postback.fields)}")
    for name, text in postback.fields:
        if name.strip().lower() == "xml" or text != text.strip():
            raise ValueError(
                f"fields must not be named xml, nor have blanks around them, got {name!r}: {text!r}"
            )
    return urlencode(_packed(postback.fields, shape)).encode()


def write_receipt(postback: Postback) -> bytes:
    """One postback as a receipt text of SMPP; raises ``ValueError`` for one that isn't read back.

    >>> write_receipt(Postback("", (("id", "7"), ("done_date", "2603011000"), ("stat", "DELIVRD"))))
    b'id:7 done date:2603011000 stat:DELIVRD'
    """
    text = _receipt(postback.fields)
    if text is None or postback.root or postback.attributes or postback.repaired:
        raise ValueError(f"postback must have the fields of a receipt text alone, got {postback}")
    return text.encode()


class _Pairs(dict[str, Any]):
    """A dictionary that keeps repeated names, for the writers of XML and JSON."""

    def __init__(self, pairs: Iterable[tuple[str, Any]]) -> None:
        self.pairs = list(pairs)
        super().__init__(self.pairs)

    def items(self) -> Any:
        return self.pairs


def _element(postback: Postback) -> _Pairs:
    if postback.repaired:
        raise ValueError(f"postback must be as it was sent, got one that was repaired: {postback}")
    names = [part for path, _ in postback.fields for part in re.split("[/@]", path)]
    names += [postback.root, *(name for name, _ in postback.attributes)]
    for name in names:
        if not _NAME.fullmatch(name):
            raise ValueError(f"fields must have names that XML allows, got {name!r}")
    for name, text in (*postback.fields, *postback.attributes):
        if _FORBIDDEN.search(text) or text != text.strip():
            raise ValueError(
                f"{name} must be text without control characters and without blanks around it,"
                f" got {text!r}"
            )
    attributes = [(f"@{name}", text) for name, text in postback.attributes]
    fields = [(path.replace("@", "/@"), text) for path, text in postback.fields]
    return _Pairs([*attributes, *_nested(fields, "#text")])


def _object(postback: Postback, shape: Shape) -> _Pairs:
    if postback.attributes or postback.repaired or not postback.fields:
        raise ValueError(f"postback must have fields, no attributes and no repair, got {postback}")
    each = frozenset(shape.each)
    fields = list(_listed(_nested(_packed(postback.fields, shape), ""), "", each))
    if not postback.root and len(fields) == 1 and isinstance(fields[0][1], Mapping):
        name = fields[0][0]
        raise ValueError(
            f"postback must have a root or more than one object, got {name!r} alone,"
            " which would be read as the root"
        )
    return _Pairs([(postback.root, _Pairs(fields))] if postback.root else fields)


def _nested(fields: Iterable[tuple[str, str]], own: str) -> list[tuple[str, Any]]:
    """Paths to nested pairs; what follows in one container stands in it together.

    ``own`` is the name of a text next to the children of its element.
    """
    pairs: list[tuple[str, Any]] = []
    for path, text in fields:
        name, slash, rest = path.partition("/")
        if not slash:
            pairs.append((name, text))
            continue
        last = pairs[-1] if pairs else ("", None)
        if last[0] == name and isinstance(last[1], list):
            last[1].append((rest, text))
        elif last[0] == name and own and rest.startswith("@"):
            pairs[-1] = (name, [(own, last[1]), (rest, text)])
        else:
            pairs.append((name, [(rest, text)]))
    return [
        (name, _Pairs(_nested(held, own)) if isinstance(held, list) else held)
        for name, held in pairs
    ]


def _listed(
    pairs: Iterable[tuple[str, Any]], path: str, each: Collection[str]
) -> Iterator[tuple[str, Any]]:
    """The pairs, with a list where the shape has one."""
    for name, held in pairs:
        at = f"{path}/{plain(name)}".removeprefix("/")
        value = _Pairs(_listed(held.items(), at, each)) if isinstance(held, _Pairs) else held
        yield name, [value] if at in each else value


def _packed(fields: Iterable[tuple[str, str]], shape: Shape) -> list[tuple[str, str]]:
    """What stands below the path of an embedded body, as the text that it is there."""
    depths = {path: path.count("/") + 1 for path in shape.embedded}
    inner: dict[str, list[tuple[str, str]]] = {}
    packed: dict[str, str] = {}
    plainly: list[tuple[str, str]] = []
    for path, text in fields:
        parts = path.split("/")
        outers = ("/".join(parts[:depth]) for depth in set(depths.values()) if depth < len(parts))
        outer = next((one for one in outers if plain(one) in depths), None)
        if outer is None:
            plainly.append((path, text))
        else:
            inner.setdefault(outer, []).append((path[len(outer) + 1 :], text))
    for outer, held in inner.items():
        packed[outer] = _receipt(held) or json.dumps(_Pairs(_nested(held, "")), ensure_ascii=False)
    return [*plainly, *packed.items()]


def _receipt(fields: Iterable[tuple[str, str]]) -> str | None:
    """The receipt text that says these fields; ``None`` where none does."""
    said = tuple(fields)
    text = " ".join(f"{re.sub('_date$', ' date', name)}:{text}" for name, text in said)
    return text if receipt_of(text) == tuple((f"/{name}", text) for name, text in said) else None
