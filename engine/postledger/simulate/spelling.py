"""Spelling: the texts and names of a vocabulary as they are written on its wire.

A vocabulary is read without case, hyphens and underscores; what is simulated is written as it stands in
its file.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any

import attrs

from postledger.definitions.conditions import Condition
from postledger.definitions.vocabulary import Vocabulary
from postledger.postback import plain
from postledger.simulate import particulars
from postledger.wire.receipt import KEYS


@attrs.frozen
class Spelling:
    """How one vocabulary writes.

    ``names`` are the names on the wire that it can write, by ours, those of labels and amounts too;
    ``marks`` are those of ours that only tell something by being there.
    """

    texts: tuple[str, ...]
    names: Mapping[str, tuple[str, ...]]
    marks: frozenset[str]
    embedded: tuple[str, ...]

    @classmethod
    def of(cls, vocabulary: Vocabulary) -> Spelling:
        """The spelling in the file of a vocabulary."""
        top = tomllib.loads(vocabulary.source)
        marks = top.get("marks", {})
        given = {**top["fields"], **marks, **particulars.written(top)}
        named = {ours: _listed(names) for ours, names in given.items()}
        embedded = vocabulary.shape.embedded
        fits = _FITS.get(vocabulary.wire or "", _anywhere)
        kept = {o: tuple(n for n in names if fits(n, embedded)) for o, names in named.items()}
        return cls(
            texts=tuple(dict.fromkeys(_texts(top))),
            names={ours: names for ours, names in kept.items() if names},
            marks=frozenset(marks),
            embedded=embedded,
        )

    @cached_property
    def _places(self) -> Mapping[str, int]:
        return {text: at for at, text in enumerate(self.texts)}

    @cached_property
    def _written(self) -> Mapping[str, str]:
        return {text.casefold(): text for text in reversed(self.texts)}

    def candidates(self, conditions: Iterable[Condition]) -> list[str]:
        """Texts that conditions list, as they are written and in the order of the file."""
        listed = [one for one in conditions if not one.other]
        folds = [self._written.get(fold, fold) for one in listed for fold in one.folds]
        exact = [text for one in listed for text in one.texts if text]
        prefixes = [f"{prefix}1" for one in listed for prefix in one.prefixes]
        ranges = [str(low) for one in listed for low, _ in one.ranges]
        last = len(self.texts)
        return [
            *sorted([*exact, *folds], key=lambda t: self._places.get(t, last)),
            *prefixes,
            *ranges,
        ]

    def root(self, roots: frozenset[str], *, wanted: bool) -> str:
        """The name of the message's element, empty where it needs none; ``wanted`` for XML."""
        if not wanted and (not roots or "" in roots):
            return ""
        return next((text for text in self.texts if text and plain(text) in roots), "message")

    def placed(self, fields: Sequence[str], absent: Iterable[str]) -> dict[str, str] | None:
        """The name on the wire of each field, in the order of the wire; ``None`` where two collide.

        Of several names that is taken that stands next to the others.
        """
        taken = {plain(name) for ours in absent for name in self.names.get(ours, ())}
        only = [self.names[one][0] for one in fields if len(self.names[one]) == 1]
        placed: dict[str, str] = {}
        for ours in sorted(fields, key=lambda one: (one in self.marks, len(self.names[one]))):
            free = [name for name in self.names[ours] if not _collides(plain(name), taken)]
            if free:
                placed[ours] = max(
                    free, key=lambda name: max([_shared(name, o) for o in only] or [0])
                )
                taken.add(plain(placed[ours]))
            elif ours not in self.marks:
                return None
        return self._in_order(placed | self._receipt_ids(placed))

    def joined(self, placed: Mapping[str, str], fields: Iterable[str]) -> dict[str, str] | None:
        """What is placed with some more fields; ``None`` where there is no room for one of them."""
        found = dict(placed)
        for ours in fields:
            taken = [plain(name) for name in found.values()]
            free = [n for n in self.names.get(ours, ()) if not _collides(plain(n), taken)]
            if not free:
                return None
            found[ours] = max(free, key=lambda name: max(_shared(name, o) for o in found.values()))
        return self._in_order(found)

    def _in_order(self, placed: Mapping[str, str]) -> dict[str, str]:
        """As the file lists them, and what stands in one container together."""
        listed = [(name, placed[name]) for name in self.names if name in placed]
        return dict(sorted(listed, key=lambda pair: pair[1].split("/")[:-1]))

    def _receipt_ids(self, placed: Mapping[str, str]) -> dict[str, str]:
        """A receipt text inside a body has the id of its message, whether it is asked for or not."""
        outers = {name[: -len("/stat")] for name in placed.values() if name.endswith("/stat")}
        wanted = {f"{outer}/id" for outer in outers if plain(outer) in self.embedded}
        return {
            ours: name
            for ours, names in self.names.items()
            for name in names
            if name in wanted and ours not in placed
        }


def _anywhere(_: str, __: Sequence[str]) -> bool:
    return True


def _in_form(name: str, embedded: Sequence[str]) -> bool:
    return "/" not in name or plain(name.partition("/")[0]) in embedded


def _in_receipt(name: str, _: Sequence[str]) -> bool:
    return name in KEYS


_FITS = {"form": _in_form, "query": _in_form, "text": _in_receipt}
"""Whether a field of some name can stand on a wire; on others any can."""


def _texts(value: Any) -> Iterator[str]:
    """All texts of a file, in its order."""
    if isinstance(value, str):
        yield value
    held = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    for one in held:
        yield from _texts(one)


def _listed(names: str | list[str]) -> list[str]:
    return [names] if isinstance(names, str) else names


def _collides(name: str, taken: Iterable[str]) -> bool:
    """Whether a name is taken, stands inside a taken one or holds one."""
    return any(
        name == one or name.startswith(one + "/") or one.startswith(name + "/") for one in taken
    )


def _shared(name: str, other: str) -> int:
    """How many steps two paths share from the start."""
    pairs = list(zip(name.split("/"), other.split("/"), strict=False))
    return next((n for n, (a, b) in enumerate(pairs) if a != b), len(pairs))
