"""``postledger forward``: what changes is sent to a URL."""

from __future__ import annotations

import logging
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

import attrs
import click

from postledger.address import Location
from postledger.cli.common import ledger_argument, progress, reading, remark
from postledger.cli.forms import json_option, write_json
from postledger.cli.layout import block, cell, counted, table
from postledger.cli.params import PositionOrNow
from postledger.errors import PostledgerError, UnknownKey
from postledger.ledger.ledger import Ledger
from postledger.times import iso

if TYPE_CHECKING:
    from postledger.server.endpoints import Endpoint
    from postledger.server.forwarder import Forwarder
    from postledger.server.outbox import Waiting

_MOST = 100
_COLUMNS = ("key", "tracking id", "position", "attempts", "next attempt", "problem")


@attrs.frozen
class _How:
    """What is sent, and how."""

    secrets: tuple[str, ...]
    postbacks: bool
    adoptions: bool
    allow_private: bool
    after: int | str | None
    once: bool

    @property
    def sending(self) -> dict[str, bool]:
        """Which options are given that say nothing where nothing is sent."""
        return {
            "--secret": bool(self.secrets),
            "--with-adoptions": self.adoptions,
            "--allow-private": self.allow_private,
            "--after": self.after is not None,
            "--once": self.once,
        }


def _once(_: click.Context, option: click.Parameter, given: tuple[str, ...]) -> str | None:
    """The one value of an option; click alone would take the last one."""
    if len(given) > 1:
        raise click.BadParameter("give it once; run one command for each.", param=option)
    return given[0] if given else None


@click.command(
    epilog="""\b
Examples:
  postledger forward deliveries.db --to https://example.org/hook --secret env:HOOK_SECRET
  postledger forward deliveries.db --to https://example.org/hook --after now --once
  postledger forward deliveries.db --list
  postledger forward deliveries.db --redrive all"""
)
@ledger_argument()
@click.option(
    "--to", metavar="URL", multiple=True, callback=_once,
    help="Where to: http or https; env:NAME or file:PATH where it holds a secret. Where nothing is"
    " sent, also the number of an endpoint.",
)  # fmt: skip
@click.option(
    "--secret", "secrets", multiple=True, metavar="SECRET",
    help="Sign by it: env:NAME, file:PATH or whsec_…; several while one is replaced.",
)  # fmt: skip
@click.option("--postbacks", is_flag=True, help="Send the postbacks as received, not the changes.")
@click.option(
    "--with-adoptions", "adoptions", is_flag=True,
    help="Send also what an adoption of definitions changes, once for each delivery.",
)  # fmt: skip
@click.option("--allow-private", is_flag=True, help="Send to private and loopback addresses too.")
@click.option(
    "--after", type=PositionOrNow(), help="Begin a new endpoint after that position, or with now."
)
@click.option("--once", is_flag=True, help="End when nothing more is due; exit 1 where any waits.")
@click.option("--list", "listed", is_flag=True, help="Show what is pending and parked.")
@click.option(
    "--skip",
    metavar="KEY|all",
    help="Give up a message, or all parked ones; what they held goes on.",
)
@click.option(
    "--redrive", metavar="KEY|all", help="Send what was refused again now, by a new schedule."
)
@click.option("--enable", is_flag=True, help="Send again to an endpoint that answered 410.")
@click.option("--forget", is_flag=True, help="Remove an endpoint with all that waits for it.")
@json_option
def forward(
    ledger: Location,
    *,
    to: str | None,
    secrets: tuple[str, ...],
    postbacks: bool,
    adoptions: bool,
    allow_private: bool,
    after: int | str | None,
    once: bool,
    listed: bool,
    skip: str | None,
    redrive: str | None,
    enable: bool,
    forget: bool,
    as_json: bool,
) -> None:
    """Send each change of a delivery's state to a URL, signed, at least once, in order.

    A change is a CloudEvent (JSON), its key is the webhook-id. It waits until the one before it of the
    same delivery was answered by 2xx. What is refused is sent again over three days, then parked:
    later changes of that delivery wait until it is skipped or redriven, others go on. What waits
    stands in LEDGER-outbox, a SQLite file. --list, --skip, --redrive, --enable and --forget need --to
    only where there are several endpoints, and --postbacks for the one that is sent postbacks.
    """
    how = _How(secrets, postbacks, adoptions, allow_private, after, once)
    asked = {"list": listed, "skip": skip, "redrive": redrive, "enable": enable, "forget": forget}
    action = _action([name for name, value in asked.items() if value not in (False, None)], how)
    with reading(ledger) as opened:
        if action == "list":
            _list(_chosen(opened, to, postbacks=postbacks), as_json=as_json)
        elif action is not None:
            _act(_one(opened, to, postbacks=postbacks), action, skip or redrive or "")
        else:
            if to is None:
                raise click.UsageError("Missing option '--to'.")
            if postbacks and adoptions:
                raise click.UsageError("--postbacks and --with-adoptions exclude each other.")
            _forward(opened, to, how, as_json=as_json)


def _action(asked: list[str], how: _How) -> str | None:
    """The one thing that is asked for other than to send."""
    if len(asked) > 1:
        raise click.UsageError(
            "--list, --skip, --redrive, --enable and --forget exclude each other: give one."
        )
    for action in asked:
        for name, given in how.sending.items():
            if given:
                raise click.UsageError(f"{name} is for sending: leave it out with --{action}.")
        return action
    return None


# --- send ---


def _forward(ledger: Ledger, to: str, how: _How, *, as_json: bool) -> None:
    from postledger.server.forwarder import Forwarder
    from postledger.server.sending import Refused

    last = ledger.head().size - 1
    if isinstance(how.after, int) and how.after > last:
        raise PostledgerError(f"--after {how.after}: the log ends at position {last}")
    after = last if how.after == "now" else -1 if how.after is None else int(how.after)
    forwarder = Forwarder(
        ledger,
        to,
        secrets=how.secrets,
        postbacks=how.postbacks,
        adoptions=how.adoptions,
        allow_private=how.allow_private,
        after=after,
    )
    with suppress(UnknownKey):
        at = forwarder.status().position
        if how.after is not None and at != min(after, last):
            remark(
                f"{forwarder.shown} is known: --after is for a new endpoint; it goes on after {at}"
            )
    if not how.secrets:
        remark("messages are not signed; give --secret to sign them")
    with _remarks(), _signals(forwarder), progress("forward") as advance:
        try:
            forwarder.run(live=not how.once, progress=advance)
        except Refused as error:
            raise PostledgerError(
                f"{error.reason}; nothing is sent there unless --allow-private is given"
            ) from None
    status = forwarder.status()
    if as_json:
        write_json({"sent": forwarder.sent, **status.to_dict()})
    else:
        waits = f"pending {status.pending}, held {status.held}, parked {status.parked}"
        click.echo(f"sent {forwarder.sent}, {waits}")
    if how.once and (status.pending or status.held or status.parked or status.disabled):
        click.get_current_context().exit(1)


class _Remarks(logging.Handler):
    """What is logged, as lines for people; above a bar, where there is one."""

    def emit(self, record: logging.LogRecord) -> None:
        from tqdm import tqdm

        tqdm.write(cell(record.getMessage()), file=sys.stderr)


@contextmanager
def _remarks() -> Iterator[None]:
    logger, handler = logging.getLogger("postledger"), _Remarks()
    before = logger.level, logger.propagate
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    logger.propagate = False
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(before[0])
        logger.propagate = before[1]


@contextmanager
def _signals(forwarder: Forwarder) -> Iterator[None]:
    """SIGTERM and SIGINT stop after what is in flight; a second one stops at once."""
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}

    def stop(number: int, _: object) -> None:
        signal.signal(number, before[signal.Signals(number)])
        forwarder.stop()

    for number in before:
        signal.signal(number, stop)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


# --- what waits ---


def _chosen(ledger: Ledger, to: str | None, *, postbacks: bool) -> list[Endpoint]:
    """The endpoints of a URL or a number, or all; with ``postbacks`` those that are sent postbacks."""
    from postledger.server.endpoints import endpoint_of, endpoints
    from postledger.server.feed import POSTBACKS

    every = endpoints(ledger)
    if to is None or to.isdecimal():
        chosen = [
            one
            for one in every
            if to in (None, str(one.number)) and (not postbacks or one.status().feed == POSTBACKS)
        ]
        if every and not chosen:
            raise PostledgerError("no such endpoint; --list without --to shows all")
        return chosen
    found = []
    for feed in (True,) if postbacks else (True, False):
        with suppress(UnknownKey):
            found.append(endpoint_of(ledger, to, postbacks=feed))
    # The last call raises for an unknown URL.
    return sorted(found, key=lambda one: one.number) or [
        endpoint_of(ledger, to, postbacks=postbacks)
    ]


def _one(ledger: Ledger, to: str | None, *, postbacks: bool) -> Endpoint:
    """The endpoint of which something is asked; of two of one URL that of the changes."""
    from postledger.server.feed import CHANGES

    chosen = _chosen(ledger, to, postbacks=postbacks)
    if to is not None and len(chosen) > 1:
        chosen = [one for one in chosen if one.status().feed == CHANGES]
    if not chosen:
        raise PostledgerError("no endpoint: nothing was forwarded yet")
    if len(chosen) > 1:
        raise click.UsageError(
            f"There are {len(chosen)} endpoints: choose one by --to URL, and --postbacks for the one"
            " that is sent postbacks, or by --to and its number in --list."
        )
    return chosen[0]


def _act(endpoint: Endpoint, action: str, key: str) -> None:
    shown = endpoint.status().endpoint
    if action == "skip" and key == "all":
        click.echo(f"skipped {counted(endpoint.skip_parked(), 'message')}")
    elif action == "skip":
        endpoint.skip(key)
        click.echo(f"skipped {key}")
    elif action == "redrive":
        count = endpoint.redrive(None if key == "all" else key)
        click.echo(f"redriven {counted(count, 'message')}")
    elif action == "enable":
        click.echo(f"enabled {shown}" if endpoint.enable() else f"{shown} is not disabled")
    else:
        click.echo(f"forgot {shown}; {counted(endpoint.forget(), 'message')} waited")


def _list(chosen: list[Endpoint], *, as_json: bool) -> None:
    if as_json:
        write_json(
            [
                {**_row_of(one), "waiting": [w.to_dict() for w in one.waiting(_MOST)]}
                for one in chosen
            ]
        )
        return
    if not chosen:
        remark("no endpoint: nothing was forwarded yet")
    for number, one in enumerate(chosen):
        status, waiting = _row_of(one), one.waiting(_MOST)
        lines = block((name, cell(value)) for name, value in status.items())
        click.echo(("\n" if number else "") + "\n".join(lines))
        if waiting:
            click.echo(f"\n{table(map(_row, waiting), _COLUMNS)}")
        if len(waiting) == _MOST:
            remark(f"the first {_MOST} are shown")


def _row_of(one: Endpoint) -> dict[str, Any]:
    """Where an endpoint stands; the number tells those that are shown alike."""
    return {"number": one.number, **one.status().to_dict()}


def _row(one: Waiting) -> list[str]:
    attempt = one.status if one.due is None else iso(one.at) or "now"
    return [*map(cell, (one.key, one.about, one.position, one.attempts, attempt, one.problem))]
