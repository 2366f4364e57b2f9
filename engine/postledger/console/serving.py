"""Serving: the console on uvicorn, in one process, until it is stopped."""

from __future__ import annotations

import getpass
import logging
import secrets
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import attrs

from postledger.console.access import AccessRecord
from postledger.console.console import Console
from postledger.console.guard import LOCAL
from postledger.console.users import UNMASKER, VIEWER, User, Users, hashed, load_users
from postledger.errors import PostledgerError, requires
from postledger.server.app import PACKAGES
from postledger.server.serving import CONNECTIONS, HEAD, bound, is_loopback, until_stopped, url_of

try:
    from uvicorn import Config, Server
except ModuleNotFoundError as error:
    raise requires(f"the console requires {error.name}", f"{PACKAGES} jinja2") from None

_STOPPING = 3
_log = logging.getLogger("postledger.console")


@attrs.frozen
class Serving:
    """What is served, and how.

    Without a file of ``users`` one user may sign in, named as the system names whoever runs this, by a
    password that is new each time.

    >>> Serving(Path("deliveries.db")).port
    8100
    """

    ledger: Path
    host: str = "127.0.0.1"
    port: int = 8100
    users: Path | None = None
    access_record: Path | None = None
    hosts: tuple[str, ...] = ()
    https: bool = False


def serve(serving: Serving, listening: Callable[[str], None]) -> None:
    """Serve until SIGTERM or SIGINT; ``listening`` is called with lines of where, and how to sign in.

    Raises ``PostledgerError`` where it can't begin: others could reach it without a file of users or
    without HTTPS, that file is wrong, the access record can't be written, the address is taken.
    """
    _require_private(serving)
    users, password = users_of(serving)
    if serving.access_record is not None:
        AccessRecord(serving.access_record).require_writable()
    hosts = {*serving.hosts} or {*LOCAL, serving.host}
    app = Console(
        serving.ledger,
        users=users,
        hosts=hosts,
        access_record=serving.access_record,
        https=serving.https,
    )
    app.require_readable()
    with bound(serving.host, serving.port) as sock:
        config = Config(
            app,
            interface="asgi3",
            ws="none",
            lifespan="on",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            server_header=False,
            limit_concurrency=CONNECTIONS,
            h11_max_incomplete_event_size=HEAD,
            timeout_graceful_shutdown=_STOPPING,
        )
        listening(f"the console is at {url_of(sock)}/")
        if password:
            listening(f"sign in as {users.names[0]} with the password {password}")
        with until_stopped(_log):
            Server(config).run([sock])


def users_of(serving: Serving) -> tuple[Users, str]:
    """Who may sign in, and the password of the one user where there is no file."""
    if serving.users is not None:
        return load_users(serving.users), ""
    password = secrets.token_urlsafe(15)
    role = VIEWER if serving.access_record is None else UNMASKER
    return Users([User(_me(), hashed(password), role)]), password


def _me() -> str:
    with suppress(OSError, KeyError, ImportError):
        return getpass.getuser()
    return "operator"


def _require_private(serving: Serving) -> None:
    # Nobody else signs in by a password that travels openly.
    if is_loopback(serving.host):
        return
    if serving.users is None:
        raise PostledgerError(
            f"--host {serving.host}: others could reach it; say who may sign in by --users FILE"
        )
    if not serving.https or not serving.hosts:
        raise PostledgerError(
            f"--host {serving.host}: passwords and numbers would travel openly; put HTTPS in front,"
            " then give --https and --allow-host NAME, or leave --host out"
        )
