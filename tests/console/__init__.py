"""The room ``console``: a visitor without a browser, and the console as a process of its own."""

from __future__ import annotations

import html
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import attrs
import httpx2
from starlette.testclient import TestClient

from postledger import Ledger
from postledger.console import User, Users, app, hashed
from postledger.console.console import Console

NAME, PASSWORD = "I. Okafor", "correct horse battery"
VIEWER = "V. Only"
HASH = hashed(PASSWORD)
ORIGIN = "http://localhost"
# What visitors look at, until a test ends (conftest.py).
CONSOLES: list[Console] = []
USERS = Users([User(NAME, HASH, "unmasker"), User(VIEWER, HASH)])


class Visitor(TestClient):
    """A browser as far as pages and forms go: it keeps cookies, and says where it comes from."""

    def page(self, path: str, **query: Any) -> str:
        """The text of a page that is there."""
        answer = self.get(path, params=query)
        assert answer.status_code == 200, answer.text
        return answer.text

    def token(self, path: str, action: str, **query: Any) -> str:
        """The token of the form of a page that posts to an address."""
        text = self.page(path, **query)
        (form,) = re.findall(rf'<form[^>]*action="{re.escape(action)}".*?</form>', text, re.S)
        found = re.search(r'name="csrf" value="([^"]+)"', form)
        assert found is not None
        return html.unescape(found[1])

    def submit(self, path: str, form: dict[str, str], **headers: str) -> Any:
        """What a form of this site is answered."""
        return self.post(path, data=form, headers={"Origin": ORIGIN, **headers})

    def sign_in(self, name: str = NAME, password: str = PASSWORD) -> Any:
        """What the form to sign in is answered."""
        token = self.token("/sign-in", "/sign-in")
        return self.submit("/sign-in", {"csrf": token, "name": name, "password": password})


def bundle(*keys: str) -> bytes:
    """One body that says something of several deliveries."""
    status = {"groupId": 3, "groupName": "DELIVERED", "id": 5, "name": "DELIVERED_TO_HANDSET"}
    results = [
        {
            "messageId": key,
            "to": "16503333058",
            "status": status,
            "sentAt": "2026-10-14T09:12:06.000+0000",
        }
        for key in keys
    ]
    return json.dumps({"results": results}).encode()


def visitor(ledger: Ledger | Path, *, name: str = NAME, **options: Any) -> Visitor:
    """A visitor of a console of that ledger who has signed in; with an empty name, a stranger."""
    CONSOLES.append(app(ledger, users=USERS, **options))
    made = Visitor(CONSOLES[-1], ORIGIN, follow_redirects=False)
    if name:
        assert made.sign_in(name).status_code == 303
    return made


@attrs.frozen
class Running:
    """A console that runs, and how to sign in; ``began`` are the lines that it wrote before."""

    process: subprocess.Popen[str]
    url: str
    user: str
    password: str
    began: tuple[str, ...] = ()

    @property
    def origin(self) -> str:
        """Where it is, without a path."""
        return self.url.removesuffix("/console")


@contextmanager
def running(ledger: Path, *words: object, command: str = "console") -> Iterator[Running]:
    """``postledger console``, or ``serve`` with its console, on a free port."""
    called = [sys.executable, "-m", "postledger", command, ledger, "--port", "0", *words]
    with subprocess.Popen(
        list(map(str, called)), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        assert process.stdout is not None
        try:
            began = [process.stdout.readline()]
            while not began[-1].startswith("the console is at "):
                assert began[-1], "it did not begin"
                began.append(process.stdout.readline())
            where, who = began.pop().split(), process.stdout.readline().split()
            yield Running(process, where[-1].rstrip("/"), who[3], who[-1], tuple(began))
        finally:
            process.terminate()
            process.wait(60)


def signed_in(console: Running) -> httpx2.Client:
    """A client that has signed in."""
    client = httpx2.Client(base_url=console.url, timeout=60)
    token = client.get("/sign-in").text.partition('name="csrf" value="')[2].partition('"')[0]
    form = {"csrf": token, "name": console.user, "password": console.password}
    headers = {"Origin": console.origin}
    assert client.post("/sign-in", data=form, headers=headers).status_code == 303
    return client
