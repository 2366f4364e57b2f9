"""The cut: a message becomes postbacks, as the shape says.

Each list at an ``each`` path gives as many postbacks as it has members. Each of them has its own
fields and inherits those that stand outside of all lists; no field is lost or read twice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import chain
from operator import itemgetter
from typing import TypeAlias

from postledger.errors import ReadError
from postledger.postback import Postback, Shape, plain
from postledger.wire.limits import Limits
from postledger.wire.reading import Field, Reading, bundle, too_many
from postledger.wire.tree import Branch, Document, Message, Node, Repaired, leaf

Embedded: TypeAlias = Callable[[str, Limits], "tuple[Node, bool] | None"]
"""Reads a text that is itself a body: its node, and whether that was repaired."""

_FIELDS = 100
"""So many fields a body may have for each member that it may have."""

_PATHS, _LEAST = 8, 1024
"""How long the paths of all fields may be: so many times the body, and so many characters more."""

_INHERITED, _OF_MEMBER, _FIELD = 16, 4096, 64
"""What members inherit: so many times the body, and so many characters for each that there may be.

Each field counts for so many more than its path and its text have.
"""


class Cut:
    """How the messages of one body are cut.

    ``met`` are those of the ``watched`` paths, in plain names, that stand in it.
    """

    def __init__(
        self,
        shape: Shape,
        limits: Limits,
        body_bytes: int,
        embedded: Embedded,
        watched: frozenset[str] = frozenset(),
    ) -> None:
        self.watched = watched
        self.met: set[str] = set()
        self.shape = shape
        self.each = frozenset(shape.each)
        self.embedded = frozenset(shape.embedded)
        self._read = embedded
        self._left = limits.members
        # Each member has so many of its own, and of more its share of those that others leave.
        self._own = _FIELDS
        self._fields = _FIELDS * (limits.members - 1)
        self.limits = limits
        self._paths = _PATHS * body_bytes + _LEAST
        # guard: what is inherited is bounded
        self.inherited = _INHERITED * body_bytes + limits.members * _OF_MEMBER

    def watch(self, path: str) -> None:
        """Take down that a path stands in the body."""
        if self.watched and (name := plain(path)) in self.watched:
            self.met.add(name)

    def watch_below(self, path: str) -> None:
        """Take down all watched paths that begin with this one."""
        name = plain(path)
        self.met.update(one for one in self.watched if _is_below(one, name))

    def embedded_at(self, path: str, text: str, depth: int) -> tuple[Node, bool] | None:
        """What the text at a path says as a body; ``None`` where it isn't one."""
        if not text or depth <= 0 or not self.embedded or plain(path) not in self.embedded:
            return None
        # guard: the bodies in texts are counted
        if self._left == 0:
            raise ReadError(
                f"more than the limit of {self.limits.members} of its texts may be bodies"
            )
        self._left -= 1
        return self._read(text, Limits(depth=depth))

    def take(self, path: str) -> None:
        """Count a field; ``ReadError`` where there are too many, or their names are too long."""
        if self._own:
            self._own -= 1
        else:
            self._fields -= 1
        if self._fields < 0:
            most = _FIELDS * self.limits.members
            raise ReadError(f"the body has more than the limit of {most} fields")
        # Nested names must not multiply what is kept of a body.
        self._paths -= len(path)
        if self._paths < 0:
            raise ReadError("the names of nested fields are far longer than the body")

    def postbacks(self, document: Document) -> Reading:
        """The postbacks of a document; ``ReadError`` where it has none."""
        if isinstance(document, Message):
            return tuple(_Members(self, document).postbacks())
        return bundle(chain.from_iterable(map(self._attempt, document)), self.limits)

    def _attempt(self, member: Message | ReadError) -> Reading:
        if isinstance(member, ReadError):
            return (member,)
        self._own = _FIELDS
        left = self._fields, self._paths, self._left, self.inherited
        try:
            return tuple(_Members(self, member).postbacks())
        except ReadError as error:
            # guard: a member that is refused costs no other
            self._fields, self._paths, self._left, self.inherited = left
            return (error,)


class _Members:
    """The members of one message, by numbers: 0 is the message itself, others stand in another."""

    def __init__(self, cut: Cut, message: Message) -> None:
        self.cut = cut
        self.message = message
        self.outer = [-1]
        self.repaired = {0} if message.repaired else set()
        self.fields: list[list[tuple[int, str, str]]] = [[]]
        self.count = 0
        self.root, fields = self._unwrapped()
        for step, node in fields:
            self._add(step[1:], node, 0, cut.limits.depth - 1)

    def _unwrapped(self) -> tuple[str, Branch]:
        """A message that only holds a branch is that branch, under its name."""
        root, fields = self.message.root, self.message.fields
        if not root and isinstance(fields, tuple) and len(fields) == 1:
            step, held = fields[0]
            self.cut.watch_below(step[1:])
            # The paths of a shape begin outside of it.
            within = any(_is_below(path, plain(step[1:])) for path in self.cut.shape.paths)
            if isinstance(held, tuple) and held and not within:
                return step[1:], held
        return root, fields

    def _add(self, path: str, node: Node, member: int, depth: int) -> None:
        if isinstance(node, list):
            for one in node:
                self._add(path, one, member, depth - 1)
            return
        self.cut.watch(path)
        if self.cut.each and plain(path) in self.cut.each:
            # guard: members are counted as they are found
            if len(self.outer) > self.cut.limits.members * self.cut.limits.depth:
                raise too_many(self.cut.limits)
            self.outer.append(member)
            self.fields.append([])
            member = len(self.outer) - 1
        self._add_inner(path, node, member, depth)

    def _add_inner(self, path: str, node: Node, member: int, depth: int) -> None:
        if isinstance(node, str | bool | None):
            self._add_leaf(path, node, member, depth)
            return
        empty = True
        for step, held in node:
            empty = False
            if step.startswith("/"):
                self._add(path + step, held, member, depth - 1)
            else:
                self.cut.watch(path + step)
                self._add_inner(path + step, held, member, depth - 1)
        if empty:
            self._add_leaf(path, None, member, depth)

    def _add_leaf(self, path: str, node: str | bool | None, member: int, depth: int) -> None:  # noqa: FBT001
        if isinstance(node, Repaired):
            self.repaired.add(member)
        text = leaf(node)
        found = self.cut.embedded_at(path, text, depth)
        if found is not None:
            if found[1]:
                self.repaired.add(member)
            self._add(path, found[0], member, depth)
            return
        self.cut.take(path)
        self.fields[member].append((self.count, path, text))
        self.count += 1

    def postbacks(self) -> Iterator[Postback]:
        """A postback for each member that has no others inside."""
        innermost = sorted(set(range(len(self.outer))) - set(self.outer))
        if len(innermost) > self.cut.limits.members:
            raise too_many(self.cut.limits)
        chains = [self._chain(member) for member in innermost]
        sizes = [
            sum(len(path) + len(text) + _FIELD for _, path, text in held) for held in self.fields
        ]
        self.cut.inherited -= sum(sizes[member] for found in chains for member in found[1:])
        if self.cut.inherited < 0:
            raise ReadError("what the members of a list inherit is far longer than the body")
        for found in chains:
            fields = sorted(chain.from_iterable(self.fields[one] for one in found), key=_order)
            said: tuple[Field, ...] = tuple([(path, text) for _, path, text in fields])
            repaired = not self.repaired.isdisjoint(found)
            yield Postback(self.root, said, self.message.attributes, repaired)

    def _chain(self, member: int) -> list[int]:
        """A member, and those that it stands in."""
        found = []
        while member >= 0:
            found.append(member)
            member = self.outer[member]
        return found


def _is_below(path: str, outer: str) -> bool:
    """Whether a path is, or begins with, another; both in plain names."""
    return path == outer or path.startswith(outer + "/")


_order = itemgetter(0)
