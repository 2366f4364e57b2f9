"""Writing: a postback as the bytes of the wire, for tests and simulations.

What is written here is read back equal: ``read(write(postback))`` gives the postback. The names of
the fields are written as they are, so that the generation of the wire is that of the postback.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import urlencode

import xmltodict

from postledger.postback import Postback
from postledger.wire.form import FIELDS
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


def write_json(*postbacks: Postback) -> bytes:
    """One postback as a JSON object, several as an array of objects.

    A root wraps its object. Raises ``ValueError`` for a postback that has no JSON form.

    >>> write_json(Postback("", (("spid", "0001470"), ("to", "16501112222"))))
    b'{"spid": "0001470", "to": "16501112222"}'
    """
    objects = [_object(postback) for postback in postbacks]
    written = objects[0] if len(objects) == 1 else objects
    return json.dumps(written, ensure_ascii=False).encode()


def write_form(postback: Postback) -> bytes:
    """One postback as an urlencoded form, with ``+`` for a space and ``%2B`` for a plus sign.

    Raises ``ValueError`` for a postback that has no such form: with a root, an attribute or a repair,
    without a field, with one that is named ``xml``, or with blanks around a text.

    >>> write_form(Postback("", (("To", "+16501112222"), ("Status", "not sent"))))
    b'To=%2B16501112222&Status=not+sent'
    """
    if postback.root or postback.attributes or postback.repaired or not postback.fields:
        raise ValueError(
            f"postback must have fields, no root, no attributes and no repair, got {postback}"
        )
    if len(postback.fields) > FIELDS:
        raise ValueError(f"fields must be at most {FIELDS}, got {len(postback.fields)}")
    for name, text in postback.fields:
        if name.strip().lower() == "xml" or text != text.strip():
            raise ValueError(
                f"fields must not be named xml, nor have blanks around them, got {name!r}: {text!r}"
            )
    return urlencode(postback.fields).encode()


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


def _object(postback: Postback) -> _Pairs:
    if postback.attributes or postback.repaired or not postback.fields:
        raise ValueError(f"postback must have fields, no attributes and no repair, got {postback}")
    fields = _nested(postback.fields, "")
    if not postback.root and len(fields) == 1 and isinstance(fields[0][1], Mapping):
        name = fields[0][0]
        raise ValueError(
            f"postback must have a root or more than one object, got {name!r} alone,"
            " which would be read as the root"
        )
    return _Pairs([(postback.root, _Pairs(fields))] if postback.root else fields)


def _nested(fields: Iterable[tuple[str, str]], own: str) -> list[tuple[str, Any]]:
    """Paths to nested pairs; what follows in one container stands in it together.

    ``own`` is the name of a text beside the children of its element.
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
