"""``postledger simulate``: the provider's side, for tests and demonstrations."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO

import attrs
import click

from postledger.cli.common import Command, known_providers, progress, remark
from postledger.cli.params import NumberRange, WholeRange
from postledger.definitions import builtin as definitions
from postledger.definitions import define, shipped
from postledger.definitions.definitions import read_vocabulary
from postledger.export.files import create_packed, plain_suffix, whole
from postledger.export.formats import LINES, line_of_receipt
from postledger.model import Receipt
from postledger.simulate import ALL, NONE, Message, read_story, story_of
from postledger.simulate import simulate as receipts_of
from postledger.simulate.story import FORM, TEXT, Story, builtin

_RATE = NumberRange(0, 1)
_RATES = {
    "repeats": "Postbacks that are sent again, up to five times.",
    "reordered": "Postbacks that come up to --window seconds late.",
    "lost": "Postbacks that never come.",
    "malformed": "Postbacks that come broken.",
    "bundled": "Postbacks that come together, where the wire has bundles.",
    "contradicted": "Messages with a receipt that says otherwise.",
    "skewed": "Messages stamped by clocks that differ.",
    "mixed": "Messages reported in several generations.",
    "strangers": "Messages next to which a postback of another family comes.",
    "degraded": "Messages that go out as a link after all; else as the story has it.",
}


_SUFFIXES = {"application/json": ".json", FORM: ".form", None: ".query", TEXT: ".txt"}
"""By content types, as ``ingest`` understands them; without one it is the query string of a GET."""


def _rates(command: Command) -> Command:
    for name, text in reversed(_RATES.items()):
        command = click.option(f"--{name}", type=_RATE, metavar="RATE", help=text)(command)
    return command


def _generations(
    _: click.Context, __: click.Parameter, given: tuple[str, ...]
) -> dict[str, float] | None:
    shares = {}
    for word in given:
        name, equals, share = word.partition("=")
        try:
            shares[name] = float(share) if equals else 1.0
        except ValueError:
            raise click.BadParameter(f"invalid {word!r}: expected NAME or NAME=SHARE") from None
        if not 0 < shares[name] < float("inf"):
            raise click.BadParameter(f"the share must be a number above 0, got {word!r}")
    return shares or None


def _known(context: click.Context, option: click.Parameter, names: tuple[str, ...]) -> str | None:
    if len(names) > 1:
        raise click.BadParameter(
            f"expected one provider, got {', '.join(names)}; run it once for each"
        )
    return next(iter(known_providers(context, option, names)), None)


@click.command(
    "simulate",
    epilog="""\b
Examples:
  postledger simulate traffic.jsonl --messages 10000 --all
  postledger simulate bodies/ --messages 20 --generation g1
  postledger simulate sinch.jsonl --provider sinch --all
  postledger simulate mine.jsonl --vocabulary my-words.toml
  postledger simulate - --lost 0.1 | postledger ingest deliveries.db -""",
)
@click.argument("out", type=click.Path(allow_dash=True, path_type=Path))
@click.option(
    "--messages", type=WholeRange(min=1), default=1000, show_default=True, help="How many."
)
@click.option(
    "--seed",
    type=int,
    default=0,
    show_default=True,
    help="A different seed gives different traffic.",
)
@click.option("--all", "every", is_flag=True, help="Every disturbance, as on a bad day.")
@_rates
@click.option(
    "--window",
    type=NumberRange(min=0),
    metavar="SECONDS",
    help="The longest delay of --reordered.",
)
@click.option(
    "--generation",
    "generations",
    multiple=True,
    metavar="NAME[=SHARE]",
    callback=_generations,
    help="A generation of the wire to write in; all alike by default.",
)
@click.option(
    "--rate",
    type=NumberRange(min=0, max=1e9, min_open=True),
    default=1.0,
    help="Messages a second.",
)
@click.option(
    "--story",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A story in place of that of the specification.",
)
@click.option(
    "--provider",
    multiple=True,
    metavar="NAME",
    callback=_known,
    help="Simulate this provider; `charts providers` lists them.",
)
@click.option(
    "--vocabulary",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Your own vocabulary in place of those: a TOML file.",
)
@click.option(
    "--truth",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Where the truth about each message goes; OUT.truth.jsonl next to OUT by default.",
)
def simulate(
    out: Path,
    messages: int,
    seed: int,
    every: bool,  # noqa: FBT001
    window: float | None,
    generations: dict[str, float] | None,
    rate: float,
    story: Path | None,
    provider: str | None,
    vocabulary: Path | None,
    truth: Path | None,
    **rates: float | None,
) -> None:
    """Write the postbacks of simulated messages, and the truth about each message next to them.

    OUT is a .jsonl file (packed where it ends in .gz or .zst), - (stdout), or a folder for a file a
    body. The truth says of each message what became of it and what of that could be known from what
    came. The same options give the same bytes.
    """
    if out.suffix and plain_suffix(out) not in LINES and not out.is_dir():
        raise click.BadParameter(f"{out}: expected a .jsonl file or a folder", param_hint="OUT")
    noted = _noted(truth, out)
    given = {name: rate for name, rate in {**rates, "window": window}.items() if rate is not None}
    read = _story(story, provider, vocabulary)
    _check_generations(generations, read)
    with ExitStack() as files:
        note = files.enter_context(_created(noted)) if noted else None
        advance = files.enter_context(progress("simulate", messages))

        def witness(message: Message) -> None:
            if note is not None:
                note.write(json.dumps(message.truth.to_dict()).encode() + b"\n")
            advance(1)

        receipts = receipts_of(
            messages,
            seed=seed,
            disturbances=attrs.evolve(ALL if every else NONE, **given),
            generations=generations,
            rate=rate,
            story=read,
            witness=witness,
        )
        count = _write(receipts, out)
    where = f"; the truth is in {noted}" if noted else ""
    remark(f"{count} receipts of {messages} messages{where}")


def _story(file: Path | None, provider: str | None, words: Path | None) -> Story:
    given = {"--story": file, "--provider": provider, "--vocabulary": words}
    named = [option for option, value in given.items() if value is not None]
    if len(named) > 1:
        raise click.UsageError(f"{' and '.join(named)} can't go together.")
    if provider is not None:
        return story_of(shipped(provider))
    if words is not None:
        vocabulary = read_vocabulary(words)
        # One that doesn't fit the charts that ship has no words of theirs to tell a story in.
        define(definitions().charts.values(), [vocabulary])
        return story_of(vocabulary)
    return builtin() if file is None else read_story(file)


def _check_generations(generations: dict[str, float] | None, story: Story) -> None:
    for name in generations or ():
        if name not in story.generations:
            fault = f"unknown generation {name!r}: expected {', '.join(story.generations)}"
            raise click.BadParameter(fault, param_hint="--generation")


def _noted(truth: Path | None, out: Path) -> Path | None:
    """The file that the truth is written to, or ``None``."""
    noted = truth or (None if str(out) == "-" else _beside(out))
    if noted is not None and noted.absolute() == out.absolute():
        raise click.UsageError("--truth and OUT must be two files.")
    return noted


def _beside(out: Path) -> Path:
    """Next to the file or folder, not in it, so that to ingest a folder takes the bodies alone."""
    name = out.name
    for suffix in (".gz", ".zst", *LINES):
        name = name.removesuffix(suffix)
    return out.with_name(f"{name}.truth.jsonl")


def _write(receipts: Iterable[Receipt], out: Path) -> int:
    try:
        if str(out) == "-":
            return _lines(receipts, sys.stdout.buffer.write)
        if plain_suffix(out) in LINES:
            with _created(out) as file:
                return _lines(receipts, file.write)
        return _files(receipts, out)
    except OverflowError:
        raise click.UsageError("--messages, --rate and --window go beyond the year 9999.") from None


@contextmanager
def _created(path: Path) -> Iterator[IO[bytes]]:
    """A file, packed or not as its name says, that takes its place once it is whole."""
    with whole(path) as partial, create_packed(partial) as file:
        yield file


def _lines(receipts: Iterable[Receipt], write: Callable[[bytes], object]) -> int:
    return sum(1 for _ in map(write, map(line_of_receipt, receipts)))


def _files(receipts: Iterable[Receipt], folder: Path) -> int:
    """A file for each body, named in order of arrival."""
    folder.mkdir(parents=True, exist_ok=True)
    count = 0
    for count, receipt in enumerate(receipts, 1):
        suffix = _SUFFIXES.get(receipt.content_type, ".xml")
        with whole(folder / f"{count:08}{suffix}") as partial:
            partial.write_bytes(receipt.body)
    return count
