"""Rules: what is worth a look."""

from __future__ import annotations

from datetime import timedelta

import attrs

from postledger.arguments import at_least, typed

LONGEST = timedelta(days=30)
"""The longest span that a rule may state."""


def _share(_: object, attribute: attrs.Attribute[float], value: float | None) -> None:
    if value is not None and not 0 < value < 1:
        raise ValueError(f"{attribute.name} must be above 0 and below 1, got {value}")


def _span(_: object, attribute: attrs.Attribute[timedelta], value: timedelta | None) -> None:
    if value is not None and not timedelta() < value <= LONGEST:
        raise ValueError(f"{attribute.name} must be above 0 and at most 30 days, got {value}")


@attrs.frozen(field_transformer=typed)
class Ratio:
    """Of a carrier fewer deliveries are delivered than usual: by ``drop``, as a part of the usual ratio.

    ``minimum`` is how many there must be to judge by, ``usual`` the ratio to take for the usual one in
    place of that of the past. ``without`` names carriers to leave out.

    >>> Ratio(drop=0.1).minimum
    100
    """

    drop: float = attrs.field(default=0.2, validator=_share)
    minimum: int = attrs.field(default=100, validator=at_least(1))
    usual: float | None = attrs.field(default=None, validator=_share)
    without: tuple[str, ...] = ()


@attrs.frozen(field_transformer=typed)
class Stuck:
    """Of a carrier more deliveries have no outcome at an ``age`` than usual: by ``rise``, a share of all.

    ``minimum``, ``usual`` and ``without`` are those of ``Ratio``.

    >>> Stuck().age
    datetime.timedelta(days=1)
    """

    age: timedelta = attrs.field(default=timedelta(days=1), validator=_span)
    rise: float = attrs.field(default=0.05, validator=_share)
    minimum: int = attrs.field(default=100, validator=at_least(1))
    usual: float | None = attrs.field(default=None, validator=_share)
    without: tuple[str, ...] = ()


@attrs.frozen(field_transformer=typed)
class Unreadable:
    """Of a source more events are unreadable or unrecognised than usual: by ``rise``, a share of all.

    ``minimum`` and ``usual`` are those of ``Ratio``; ``without`` names sources to leave out. Events
    whose sender check failed are not counted.

    >>> Unreadable().rise
    0.05
    """

    rise: float = attrs.field(default=0.05, validator=_share)
    minimum: int = attrs.field(default=100, validator=at_least(1))
    usual: float | None = attrs.field(default=None, validator=_share)
    without: tuple[str, ...] = ()


@attrs.frozen(field_transformer=typed)
class Silence:
    """Nothing comes from a source, no new delivery of a carrier, or nothing at all.

    For longer than ``after``, or without it for an hour and for longer than twice the longest silence of
    the past. ``minimum`` is how many there must have been. ``without`` names sources and carriers to
    leave out.

    >>> Silence(after=timedelta(hours=6)).minimum
    100
    """

    after: timedelta | None = attrs.field(default=None, validator=_span)
    minimum: int = attrs.field(default=100, validator=at_least(1))
    without: tuple[str, ...] = ()


@attrs.frozen(field_transformer=typed)
class Rules:
    """What ``Ledger.check`` looks for; ``None`` leaves a rule out.

    What is usual comes from the last ``days`` before those hours that are judged. Without any argument
    these are the rules of ``postledger check`` without a file.

    >>> Rules(silence=None).days
    14
    """

    ratio: Ratio | None = attrs.field(factory=Ratio)
    stuck: Stuck | None = attrs.field(factory=Stuck)
    unreadable: Unreadable | None = attrs.field(factory=Unreadable)
    silence: Silence | None = attrs.field(factory=Silence)
    days: int = attrs.field(default=14, validator=at_least(3, 90))
