"""Archives: what commands do with an archive in the place of a ledger."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from functools import wraps
from typing import Any, Literal

import attrs
import click

from postledger.cli.common import Command, bounds_options, progress
from postledger.cli.params import ArchiveAt, FolderText, LedgerOrArchive
from postledger.definitions.definitions import Definitions
from postledger.lake.folding import ENGINES, Engine
from postledger.ledger.archive import Archive
from postledger.model import Anchor, Verification

_PASSES = 3
"""So often a verification counts an event: checked, read, and folded."""


@attrs.frozen
class ArchiveOptions:
    """What a replay of archives takes and that of a ledger doesn't."""

    out: str | None
    engine: Engine | Literal["spark"] | None
    beside: tuple[ArchiveAt, ...]
    as_of: datetime | int | None
    occurred_by: datetime | None

    def require_unset(self) -> None:
        """A usage error where any of it is given, since the argument is a ledger."""
        for option, given in self._given().items():
            if given:
                raise click.UsageError(f"{option} requires an archive, got a ledger.")

    def require_consistent(self) -> None:
        """A usage error for what means nothing without ``--out``, or with ``--with``."""
        for option in ("--as-of", "--occurred-by"):
            if self.out is None and self._given()[option]:
                raise click.UsageError(f"{option} requires --out.")
        if self.out is None and self.engine == "spark":
            raise click.UsageError("--engine spark requires --out.")
        if self.beside and isinstance(self.as_of, int):
            raise click.UsageError("--as-of must be a time where --with is given, got a position.")

    def _given(self) -> dict[str, bool]:
        return {
            "--out": self.out is not None,
            "--engine": self.engine is not None,
            "--with": bool(self.beside),
            "--as-of": self.as_of is not None,
            "--occurred-by": self.occurred_by is not None,
        }


def archive_options(command: Command) -> Command:
    """What ``ArchiveOptions`` has, as options; the command gets them as ``options``."""

    @wraps(command)
    def call(*args: Any, **kwargs: Any) -> Any:
        own = {field.name: kwargs.pop(field.name) for field in attrs.fields(ArchiveOptions)}
        return command(*args, options=ArchiveOptions(**own), **kwargs)

    made = click.option(
        "--with",
        "beside",
        type=LedgerOrArchive(exists=True),
        callback=_only_archives,
        multiple=True,
        metavar="FOLDER",
        help="Another archive, folded with the first as one that has the events of both; repeatable.",
    )(bounds_options(call))
    made = click.option(
        "--engine",
        type=click.Choice([*ENGINES, "spark"]),
        help="What folds an archive: stream by stream, many at once (with NumPy), or Spark.",
    )(made)
    return click.option(  # type: ignore[return-value]
        "--out",
        type=FolderText(),
        metavar="FOLDER",
        help="Of an archive: fold it, and write the states as Parquet to this folder, not there yet.",
    )(made)


def _only_archives(_: click.Context, __: click.Parameter, given: Any) -> tuple[ArchiveAt, ...]:
    for one in given:
        if not isinstance(one, ArchiveAt):
            raise click.BadParameter(f"expected the folder of an archive, got {one}")
    return tuple(given)


def require_ledger(option: str, given: object) -> None:
    """A usage error where something is given that writes to a ledger."""
    if given:
        raise click.UsageError(f"{option} requires a ledger, got an archive.")


def verified(place: ArchiveAt, anchor: Anchor | None) -> Verification:
    """Verify an archive."""
    with opened(place) as archive, progress("verify", _PASSES * archive.size) as advance:
        return archive.verify(anchor, progress=advance)


@contextmanager
def opened(place: ArchiveAt, beside: tuple[ArchiveAt, ...] = ()) -> Iterator[Archive]:
    """The archive, or several as one."""
    with Archive(*(one.place for one in (place, *beside))) as archive:
        yield archive


def definitions_of(*places: ArchiveAt) -> list[Definitions]:
    """The definitions of each archive."""
    return [Archive(one.place).definitions for one in places]


def replayed(archive: Archive, definitions: Definitions, options: ArchiveOptions) -> int:
    """Fold an archive to a folder; returns how many states it has."""
    assert options.out is not None
    bounds: dict[str, Any] = {"as_of": options.as_of, "occurred_by": options.occurred_by}
    if options.engine == "spark":
        from postledger.lake import spark

        with spark.session() as session:
            return spark.replay(session, archive, options.out, definitions, **bounds)
    engine = options.engine
    with progress("replay", times(archive, definitions)) as told:
        return archive.replay(options.out, definitions, engine=engine, progress=told, **bounds)


def times(archive: Archive, definitions: Definitions) -> int:
    """How many events a fold by definitions counts: those that it reads again count twice."""
    return archive.size * (1 if archive.is_read_by(definitions) else 2)
