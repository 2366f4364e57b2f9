"""The language of vocabularies: its keys, for the check and for the JSON Schema of editors."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from postledger.definitions.conditions import MOST_DIGITS, SOURCE
from postledger.definitions.diagnostics import NAME
from postledger.definitions.said import CLASSES

Schema = Mapping[str, Any]

FORMATS = ("iso", "epoch_s", "epoch_ms", "epoch_us", "smpp")
"""The formats of times that have a name; any other is a pattern with ``%``."""

WIRES = ("form", "query", "json", "xml", "text")
"""How a provider posts: a form, the query string of a GET, JSON, XML, or a receipt text."""

_NAME: Schema = {"type": "string", "pattern": f"^{NAME.pattern}$"}
_TEXT: Schema = {"type": "string"}
_FLAG: Schema = {"type": "boolean"}
_FIELD: Schema = {"type": "string", "minLength": 1}
_TEXTS: Schema = {"oneOf": [_TEXT, {"type": "array", "items": _TEXT}]}
# Hyphens and underscores don't count: one of these alone is empty.
_ON_WIRE: Schema = {"type": "string", "pattern": "[^-_]"}
_NAMES: Schema = {"oneOf": [_ON_WIRE, {"type": "array", "items": _ON_WIRE}]}
_SOME: Schema = {"type": "array", "items": _TEXT, "minItems": 1}
_SET: Schema = {"type": "array", "items": _TEXT, "uniqueItems": True}
_SOME_TEXTS: Schema = {"oneOf": [_TEXT, _SOME]}
_FIELDS: Schema = {
    "type": "object",
    "additionalProperties": {"$ref": "#/$defs/names"},
    "propertyNames": {"not": {"const": SOURCE}},
}


def _ref(name: str) -> Schema:
    return {"$ref": f"#/$defs/{name}"}


def _only(properties: Mapping[str, Schema], *required: str) -> Schema:
    """A table with these keys and no other."""
    return {
        "type": "object",
        "properties": dict(properties),
        "required": list(required),
        "additionalProperties": False,
    }


TIMESTAMPS: Mapping[str, Schema] = {
    "field": _FIELD,
    "format": {
        "oneOf": [
            _ref("format"),
            {"type": "array", "items": _ref("format"), "minItems": 1},
        ]
    },
    "naive": _TEXT,
}
"""The keys of ``[timestamps]``, and of the ``timestamp`` of an entry."""

TOP: Mapping[str, Schema] = {
    "name": _NAME,
    "version": {"type": "integer", "minimum": 1},
    "title": _TEXT,
    "page": {"type": "string", "pattern": "^https?://"},
    "read": {"type": "string", "pattern": r"^\d{4}-\d\d-\d\d$"},
    "unconfirmed": _FLAG,
    "wire": {"enum": list(WIRES)},
    "reads": {"enum": ["receipts", "statements", "nothing"]},
    "space": _NAME,
    "space_field": _FIELD,
    "each": _ref("texts"),
    "embedded": _ref("texts"),
    "ignore": _ref("names"),
    "numbers": _ref("texts"),
    "roots": _ref("texts"),
    "inside": _ref("texts"),
    "marks": _FIELDS,
    "match": _ref("conditions"),
    "fields": {**_FIELDS, "minProperties": 1},
    "timestamps": _only(TIMESTAMPS),
    "reasons": {"type": "object", "additionalProperties": _ref("codes")},
    "labels": {"type": "object", "additionalProperties": _ref("names"), "propertyNames": _NAME},
    "amounts": {"type": "object", "additionalProperties": _ref("amount"), "propertyNames": _NAME},
    "parts": _ref("parts"),
    "postbacks": {"type": "array", "items": _ref("postback"), "minItems": 1},
}
"""The keys of a vocabulary."""

ENTRY: Mapping[str, Schema] = {
    "section": _TEXT,
    "root": _ref("texts"),
    "match": _ref("conditions"),
    "chart": _TEXT,
    "key": _ref("some_texts"),
    "timestamp": _only(TIMESTAMPS),
    "requires": _ref("texts"),
    "undated": _FLAG,
    "reason": _ref("texts"),
    "means": {"type": "array", "items": _ref("row")},
    "evidence": {"type": "array", "items": _ref("evidence_row")},
    "parts": _ref("parts"),
}
"""The keys of a ``[[postbacks]]`` table."""


# --- the JSON Schema ---

_SHORT: Schema = {"type": "integer", "minimum": 1 - 10**MOST_DIGITS, "maximum": 10**MOST_DIGITS - 1}
_TESTS: tuple[Schema, ...] = (
    _ref("some_texts"),
    _only({"fold": _ref("some_texts")}, "fold"),
    _only({"prefix": _ref("prefixes")}, "prefix"),
    _only({"range": {"type": "array", "items": _SHORT, "minItems": 2, "maxItems": 2}}, "range"),
)

_DEFINITIONS: Mapping[str, Schema] = {
    "texts": _TEXTS,
    "names": _NAMES,
    "some_texts": _SOME_TEXTS,
    "prefixes": {
        "oneOf": [_FIELD, {"type": "array", "items": _FIELD, "minItems": 1}],
    },
    "format": {"anyOf": [{"enum": list(FORMATS)}, {"type": "string", "pattern": "%"}]},
    "condition": {"oneOf": [_FLAG, *_TESTS, _only({"not": {"oneOf": list(_TESTS)}}, "not")]},
    "conditions": {"type": "object", "additionalProperties": _ref("condition")},
    "codes": {
        "type": "object",
        "additionalProperties": {
            "oneOf": [_FIELD, _only({"text": _FIELD, "class": {"enum": list(CLASSES)}}, "text")]
        },
        "minProperties": 1,
    },
    "amount": {
        "oneOf": [
            _ref("names"),
            _only({"value": _ref("names"), "currency": _ref("names")}, "value"),
            _only({"value": _ref("names"), "unit": _FIELD}, "value", "unit"),
        ]
    },
    "parts": _only({"part": _FIELD, "total": _FIELD}, "part", "total"),
    "row": {
        "type": "object",
        "properties": {"trigger": _TEXT},
        "required": ["trigger"],
        "additionalProperties": _ref("condition"),
    },
    "evidence_row": {
        "type": "object",
        "properties": {"trigger": {"oneOf": [_TEXT, _SET]}},
        "required": ["trigger"],
        "additionalProperties": _ref("condition"),
    },
    "postback": {
        **_only(ENTRY, "means"),
        "anyOf": [{"required": ["match"]}, {"required": ["root"]}],
        "dependentRequired": {"chart": ["key"], "key": ["chart"]},
    },
}


MUTED = ("name", "version", "title", "space", "reads")
"""The keys of a vocabulary that reads nothing."""


def schema() -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) of a vocabulary, in which a date of TOML is its text.

    It knows the keys and the kinds of their values; that names are known and rows don't overlap,
    ``check`` says.
    """
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "A vocabulary of Postledger",
        **_only(TOP, "name", "version"),
        "if": {"properties": {"reads": {"const": "nothing"}}, "required": ["reads"]},
        "then": {"propertyNames": {"enum": [*MUTED]}},
        "else": {"required": ["fields", "postbacks"]},
        "$defs": dict(_DEFINITIONS),
    }


def schema_text() -> str:
    """The JSON Schema as text."""
    return json.dumps(schema(), indent=2, ensure_ascii=False)
