"""Serving: the console on uvicorn, alone or in the receiver's app, until it is stopped."""

from __future__ import annotations

import getpass
import logging
import secrets
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path

import attrs

from postledger.address import Location
from postledger.console.access import AccessRecord
from postledger.console.console import Console
from postledger.console.guard import LOCAL
from postledger.console.users import UNMASKER, VIEWER, User, Users, hashed, load_users
from postledger.errors import PostledgerError
from postledger.server import serving as receiving
from postledger.server.serving import Front, Mounted, bound, config_of, is_loopback, url_of

PLACE = "console"
"""Where it is mounted in the receiver's app."""

_STOPPING = 3
_log = logging.getLogger("postledger.console")


@attrs.frozen
class Entrance:
    """Who comes in, and by which names.

    Without a file of ``users`` one user may sign in, named as the system names whoever runs this, by a
    password that is new each time.

    >>> Entrance().https
    False
    """

    users: Path | None = None
    access_record: Path | None = None
    hosts: tuple[str, ...] = ()
    https: bool = False


@attrs.frozen
class Serving:
    """What is served by itself, and how.

    >>> Serving(Path("deliveries.db")).port
    8100
    """

    ledger: Location
    host: str = "127.0.0.1"
    port: int = 8100
    entrance: Entrance = Entrance()


def serve(serving: Serving, listening: Callable[[str], None]) -> None:
    """Serve until SIGTERM or SIGINT; ``listening`` is called with lines of where, and how to sign in.

    Raises ``PostledgerError`` where it can't begin: others could reach it without a file of users or
    without HTTPS, that file is wrong, the access record can't be written, the address is taken.
    """
    mounted, console = _opened(serving.ledger, serving.host, serving.entrance, listening)
    with closing(console), bound(serving.host, serving.port) as sock:
        mounted.begin(f"{url_of(sock)}/")
        config = config_of(Front(console), _STOPPING)
        with receiving.until_stopped(_log):
            receiving.run(config, sock, mounted.stop)


def serve_in_receiver(
    serving: receiving.Serving, entrance: Entrance, listening: Callable[[str], None]
) -> None:
    """Serve the receiver with the console in its app, at ``/console``; raises as both do."""
    mounted, console = _opened(serving.ledger, serving.host, entrance, listening)
    with closing(console):
        receiving.serve(serving, listening, mounted)


def _opened(
    ledger: Location, host: str, entrance: Entrance, listening: Callable[[str], None]
) -> tuple[Mounted, Console]:
    """The console of a ledger that need not be there yet, and what the server must know of it."""
    _require_private(host, entrance)
    users, password = users_of(entrance)
    console = Console(
        ledger,
        users=users,
        hosts={*entrance.hosts} or {*LOCAL, host},
        access_record=entrance.access_record,
        https=entrance.https,
    )

    def begin(url: str) -> None:
        # The ledger is there by now, so that the record can't be made in its place.
        if entrance.access_record is not None:
            AccessRecord(entrance.access_record).require_writable()
        console.require_readable()
        listening(f"the console is at {url}")
        if password:
            listening(f"sign in as {users.names[0]} with the password {password}")

    return Mounted(PLACE, console, begin, console.stop), console


def users_of(entrance: Entrance) -> tuple[Users, str]:
    """Who may sign in, and the password of the one user where there is no file."""
    if entrance.users is not None:
        return load_users(entrance.users), ""
    password = secrets.token_urlsafe(15)
    role = VIEWER if entrance.access_record is None else UNMASKER
    return Users([User(_me(), hashed(password), role)]), password


def _me() -> str:
    with suppress(OSError, KeyError, ImportError):
        return getpass.getuser()
    return "operator"


def _require_private(host: str, entrance: Entrance) -> None:
    # Nobody else signs in by a password that travels openly.
    if is_loopback(host):
        return
    if entrance.users is None:
        raise PostledgerError(
            f"--host {host}: others could reach the console; say who may sign in by --users FILE"
        )
    if not entrance.https or not entrance.hosts:
        raise PostledgerError(
            f"--host {host}: passwords and numbers would travel openly; put HTTPS in front,"
            " then give --https and --allow-host NAME, or leave --host out"
        )
