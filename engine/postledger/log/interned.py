"""Interned values: templates and envelopes, each kept once in the log and numbered there.

They are interned under the write lock, so that processes never disagree on a number. What a process
remembers of them is dropped with a transaction that is rolled back. Both tables are bounded: a body
without a template is kept whole, an envelope beyond the bound stands inline.
"""

from __future__ import annotations

import json

from postledger.errors import IntegrityError
from postledger.log.event import Envelope
from postledger.store.store import Store
from postledger.templates import Template

MOST_TEMPLATES = 4096
MOST_CHARACTERS = 4 << 20
MOST_WORDED = 64
"""How many templates with fixed words one skeleton may have."""

MOST_ENVELOPES = 1024

_MOST_SEEN = 20_000


class Interned:
    """The templates and envelopes of one log, as one connection knows them."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._templates: dict[int, Template] = {}
        self._template_ids: dict[Template, int] = {}
        self._envelopes: dict[int, Envelope] = {}
        self._envelope_ids: dict[Envelope, int | None] = {}
        self._seen: set[int] = set()

    def template(self, number: int) -> Template:
        """A template by its number; raises ``IntegrityError`` if it is missing."""
        known = self._templates.get(number)
        if known is None:
            row = self._store.one("SELECT pieces, digest FROM templates WHERE id = ?", (number,))
            if row is None:
                raise IntegrityError(f"template {number} is missing")
            known = self._templates[number] = _template(number, *row)
        return known

    def envelope(self, number: int) -> Envelope:
        """An envelope by its number; raises ``IntegrityError`` if it is missing."""
        known = self._envelopes.get(number)
        if known is None:
            row = self._store.one("SELECT envelope FROM envelopes WHERE id = ?", (number,))
            if row is None:
                raise IntegrityError(f"envelope {number} is missing")
            known = self._envelopes[number] = Envelope.from_json(row[0])
        return known

    def template_id(self, template: Template) -> int | None:
        """The number of a template, ``None`` where the log doesn't have it."""
        known = self._template_ids.get(template)
        if known is None:
            row = self._store.one(
                "SELECT id, pieces, digest FROM templates WHERE digest = ?", (template.digest,)
            )
            # guard: a damaged template takes no more bodies
            if row is None or not _is_sound(*row):
                return None
            known = self._template_ids[template] = int(row[0])
        return known

    def envelope_id(self, envelope: Envelope) -> int | None:
        """The number of an envelope, which is kept if it is new; ``None`` where it stands inline.

        The caller holds the write transaction.
        """
        try:
            return self._envelope_ids[envelope]
        except KeyError:
            if len(self._envelope_ids) > 4 * MOST_ENVELOPES:
                self._envelope_ids.clear()
            known = self._envelope_ids[envelope] = self._interned(envelope)
            return known

    def admit(self, template: Template, plain: Template) -> Template | None:
        """The template by which a body is kept, interned if it is new; ``None`` to keep it whole.

        ``plain`` is the one in which no word is fixed: it takes the place of ``template`` where its
        skeleton has as many with fixed words as are allowed. The caller holds the write transaction.
        """
        if template in self._template_ids or self.template_id(template) is not None:
            return template
        if plain is not template and self.template_id(plain) is not None:
            return plain
        if not self._has_room(template):
            return None
        if template is not plain and self._worded(plain.digest) >= MOST_WORDED:
            template = plain
        if self._has(template):
            # It is there, and damaged.
            return None
        self._put(template, plain.digest)
        return template

    def skeleton(self, number: int) -> bytes:
        """What a template without fixed words is known by, for a copy; raises ``IntegrityError``."""
        row = self._store.one("SELECT skeleton FROM templates WHERE id = ?", (number,))
        if row is None:
            raise IntegrityError(f"template {number} is missing")
        return bytes(row[0])

    def keep(self, template: Template, skeleton: bytes) -> bool:
        """Whether a body is kept by a template of a copied log, which is interned if it is new.

        The caller holds the write transaction.
        """
        if self.template_id(template) is not None:
            return True
        count, _ = self._size()
        if count >= MOST_TEMPLATES or self._has(template):
            return False
        self._put(template, skeleton)
        return True

    def _has_room(self, template: Template) -> bool:
        """Whether a new template may be made; past half of those allowed, only at second sight."""
        count, characters = self._size()
        if count >= MOST_TEMPLATES or characters >= MOST_CHARACTERS:
            return False
        if count < MOST_TEMPLATES // 2 and characters < MOST_CHARACTERS // 2:
            return True
        mark = hash(template)
        if mark in self._seen:
            return True
        if len(self._seen) >= _MOST_SEEN:
            self._seen.clear()
        self._seen.add(mark)
        return False

    def _has(self, template: Template) -> bool:
        sql = "SELECT 1 FROM templates WHERE digest = ?"
        return self._store.one(sql, (template.digest,)) is not None

    def _size(self) -> tuple[int, int]:
        """How many templates there are, and of how many characters; full where that is damaged."""
        row = self._store.one("SELECT id, total FROM templates ORDER BY id DESC LIMIT 1")
        if row is None:
            return 0, 0
        return row[0], row[1] if isinstance(row[1], int) and row[1] >= 0 else MOST_CHARACTERS

    def _worded(self, skeleton: bytes) -> int:
        row = self._store.one(
            "SELECT count(*) FROM templates WHERE skeleton = ? AND digest <> skeleton", (skeleton,)
        )
        assert row is not None
        return int(row[0])

    def _put(self, template: Template, skeleton: bytes) -> None:
        count, characters = self._size()
        pieces = json.dumps(template.pieces, ensure_ascii=False, separators=(",", ":"))
        self._store.execute(
            "INSERT INTO templates (id, digest, skeleton, pieces, total) VALUES (?, ?, ?, ?, ?)",
            (count + 1, template.digest, skeleton, pieces, characters + len(pieces)),
        )
        self._template_ids[template] = count + 1

    def _interned(self, envelope: Envelope) -> int | None:
        # A stranger could fill the table, with a content type for each event.
        # guard: no stranger fills the table of envelopes
        if not envelope.is_verified:
            return None
        text = envelope.to_json()
        row = self._store.one("SELECT id FROM envelopes WHERE envelope = ?", (text,))
        if row is not None:
            return int(row[0])
        count = self._store.one("SELECT coalesce(max(id), 0) FROM envelopes")
        assert count is not None
        if count[0] >= MOST_ENVELOPES:
            return None
        self._store.execute(
            "INSERT INTO envelopes (id, envelope) VALUES (?, ?)", (count[0] + 1, text)
        )
        return int(count[0]) + 1


def _is_sound(number: int, pieces: object, digest: object) -> bool:
    try:
        _template(number, pieces, digest)
    except IntegrityError:
        return False
    return True


def _template(number: int, pieces: object, digest: object) -> Template:
    """A template as its row has it; raises ``IntegrityError`` where the row was damaged."""
    try:
        template = Template(tuple(json.loads(str(pieces))))
        sound = all(isinstance(piece, str) for piece in template.pieces)
        # guard: a template is what was interned
        if not sound or not template.pieces or template.digest != digest:
            raise ValueError("it is not what was interned")
    except (ValueError, TypeError, RecursionError) as error:
        raise IntegrityError(f"template {number} is damaged: {error}") from error
    return template
