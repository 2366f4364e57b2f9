"""The language of vocabularies: its keys, for the check and for the JSON Schema of editors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from postledger.definitions.clock import CLOCK_KEYS
from postledger.definitions.diagnostics import NAME

Schema = Mapping[str, Any]

_NAME: Schema = {"type": "string", "pattern": f"^{NAME.pattern}$"}
_TEXT: Schema = {"type": "string"}
_FLAG: Schema = {"type": "boolean"}
_FIELD: Schema = {"type": "string", "minLength": 1}
_TEXTS: Schema = {"oneOf": [_TEXT, {"type": "array", "items": _TEXT}]}
_SOME_TEXTS: Schema = {"oneOf": [_TEXT, {"type": "array", "items": _TEXT, "minItems": 1}]}
_FIELDS: Schema = {"type": "object", "additionalProperties": {"$ref": "#/$defs/texts"}}
_CONDITIONS: Schema = {"type": "object", "additionalProperties": {"$ref": "#/$defs/condition"}}


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


CLOCK: Mapping[str, Schema] = {
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

assert CLOCK.keys() == CLOCK_KEYS

TOP: Mapping[str, Schema] = {
    "name": _NAME,
    "version": {"type": "integer", "minimum": 1},
    "title": _TEXT,
    "provider": _NAME,
    "page": {"type": "string", "pattern": "^https?://"},
    "read": {},
    "unconfirmed": _FLAG,
    "reads": {"enum": ["receipts", "statements"]},
    "space": _NAME,
    "space_field": _FIELD,
    "each": _ref("texts"),
    "embedded": _ref("texts"),
    "ignore": _ref("texts"),
    "numbers": _ref("texts"),
    "roots": _ref("texts"),
    "inside": _ref("texts"),
    "marks": _FIELDS,
    "match": _ref("conditions"),
    "fields": {**_FIELDS, "minProperties": 1},
    "timestamps": _only(CLOCK),
    "postbacks": {"type": "array", "items": _ref("postback"), "minItems": 1},
}
"""The keys of a vocabulary."""

ENTRY: Mapping[str, Schema] = {
    "section": _TEXT,
    "root": _ref("texts"),
    "match": _ref("conditions"),
    "chart": _TEXT,
    "key": _ref("some_texts"),
    "timestamp": _only(CLOCK),
    "requires": _ref("texts"),
    "undated": _FLAG,
    "reason": _ref("texts"),
    "means": {"type": "array", "items": _ref("row")},
    "evidence": {"type": "array", "items": _ref("row")},
}
"""The keys of a ``[[postbacks]]`` table."""
