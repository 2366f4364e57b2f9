"""The console attacked: hostile texts on every page, strange addresses, strangers who keep it busy."""

from __future__ import annotations

import asyncio
import html
import json
import random
import re
from html import escape
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from postledger import Ledger
from postledger.console import app, desk
from postledger.console.pages import ROUTES
from postledger.server.forwarder import Forwarder
from postledger.server.schedule import Schedule
from tests.console import ORIGIN, USERS, Visitor, visitor
from tests.samples import delivered, failed, sent

PAGES = [path for how, path, _ in ROUTES if how == "GET" and path not in ("/sign-in", "/stream")]
SCRIPT = "<script>alert(1)</script><img src=x onerror=alert(1)>"
BIDI = "\u202e\u2066\u200b\u00ad"
LONG = "r" * 1_000_000
URL = "http://127.0.0.1:9/hook"


class Tags(HTMLParser):
    """What of a page a browser would run: scripts in it, and attributes that begin one."""

    def __init__(self) -> None:
        super().__init__()
        self.strange: list[object] = []

    @classmethod
    def of(cls, text: str) -> Tags:
        """Those of a page."""
        found = cls()
        found.feed(text)
        return found

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Keep what nobody wrote into a template."""
        given = dict(attrs)
        if tag in ("img", "iframe", "object", "style") or (tag == "script" and "src" not in given):
            self.strange.append(tag)
        self.strange += [name for name in given if name.startswith("on")]
        self.strange += [text for text in given.values() if text and "javascript:" in text]


def hostile(ledger: Ledger) -> None:
    """Record what a sender posts who means ill, in every place that a body has."""
    text = escape(f"{SCRIPT}{BIDI}")
    fields = {"SPID": text, "STATUSDETAILS": text, "TO": text, "MMSID": text, "HANDSET": text}
    ledger.record(sent(text, **fields), f"text/html; {SCRIPT}", source="skycore")
    ledger.record(sent("long", STATUSDETAILS=LONG))
    ledger.record(failed(text))
    ledger.record(delivered(text, TO=text))
    ledger.record(json.dumps({SCRIPT: SCRIPT, BIDI: LONG, "a": [SCRIPT] * 300}).encode())
    ledger.record(f"<a><{'x' * 9_000}>{text}</a>".encode())
    ledger.record(f"{SCRIPT}{BIDI}".encode(), "text/html")
    Forwarder(ledger, URL, allow_private=True, schedule=Schedule(waits=())).run(live=False)


def test_hostile_texts_are_text_on_every_page(ledger: Ledger, tmp_path: Path) -> None:
    """Masked and unmasked: no tag, no character that moves others, no page that grows with a text."""
    hostile(ledger)
    known = visitor(ledger, access_record=tmp_path / "access.jsonl")
    texts = [known.page(path) for path in ("/", "/carriers", "/unread", "/parked", "/integrity")]
    texts += [known.page("/", q=text) for text in (SCRIPT, BIDI, "x" * 3_000, "alert")]
    for position in range(1, ledger.head().size):
        texts.append(known.page("/event", position=position))
        token = known.token("/event", "/event/unmask", position=position)
        form = {"csrf": token, "position": str(position), "reason": f"{SCRIPT}{BIDI}"}
        assert known.submit("/event/unmask", form).status_code == 303
        texts.append(known.page("/event", position=position))
    links = set(re.findall(r'href="(/delivery\?[^"]+)"', texts[0]))
    assert len(links) == 2
    for link in map(html.unescape, links):
        text = known.get(link).text
        form = dict(
            re.findall(r'name="(id|ref|csrf)" value="([^"]*)"', text.partition('id="unmask"')[2])
        )
        assert known.submit("/delivery/unmask", {**form, "reason": "to read it"}).status_code == 303
        numbers = range(1, text.count('aria-label="Event ') + 1)
        texts += [text, *(known.get(f"{link}&event={number}").text for number in numbers)]
        body = known.get(link.replace("/delivery?", "/delivery/body?"))
        assert body.headers["content-type"] == "text/plain; charset=utf-8"
        assert body.headers["x-content-type-options"] == "nosniff"
    for text in texts:
        assert "<script>" not in text
        assert "<img" not in text
        assert not set(BIDI) & set(text)
        assert len(text) < 250_000
        assert not Tags.of(text).strange


@pytest.mark.parametrize("key", ["a\u202eb", "a\nb", "a\tb", "\u00a0a", "a\u200b"])
def test_what_is_not_seen_in_an_id_is_no_obstacle(ledger: Ledger, tmp_path: Path, key: str) -> None:
    """Its page is found, folded and unmasked all the same: forms would send another id."""
    ledger.record(json.dumps({"messageId": key}).encode())
    ledger.record(sent(escape(key).replace("\n", "&#10;").replace("\t", "&#9;"), TO="16503333058"))
    (kept,) = [one.tracking_id for one in ledger.deliveries()]
    known = visitor(ledger, access_record=tmp_path / "access.jsonl")
    (link,) = re.findall(r'<a class="mono" href="(/delivery\?[^"]+)"', known.page("/"))
    assert link.startswith("/delivery?ref=") == (not kept.isprintable())
    text = known.get(html.unescape(link)).text
    names = dict(
        re.findall(r'name="(id|ref|csrf)" value="([^"]*)"', text.partition('id="unmask"')[2])
    )
    form = {name: html.unescape(said) for name, said in names.items()} | {"reason": "to see it"}
    answer = known.submit("/delivery/unmask", form)
    assert answer.status_code == 303
    assert "16503333058" in known.get(answer.headers["location"]).text
    assert json.loads((tmp_path / "access.jsonl").read_text())["delivery"] == kept


ANY = st.one_of(
    st.text(max_size=40),
    st.integers(-(10**20), 10**20).map(str),
    st.sampled_from(
        [
            *("9" * 15, "9" * 15 + "." + "9" * 15, "1.1", "0", "-1", "\u0663", "1e9", "NaN", "\0"),
            *("9999-12-31T23:59:59-23:59", "0001-01-01T00:00:00+23:59", "now", "yesterday 12:00"),
            *("../../etc/passwd", "%00", "\r\nSet-Cookie: a=b", "' OR 1=1 --", "\udcff"),
        ]
    ),
)
NAMES = ["id", "space", "ref", "step", "event", "at", "q", "only", "before", "position", "after"]


@pytest.fixture(scope="module")
def attacked(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """One who is signed in to a console of a small ledger, for all of what is tried."""
    folder = tmp_path_factory.mktemp("attacked")
    with Ledger(folder / "deliveries.db") as ledger:
        ledger.record(sent("a"))
        ledger.record(delivered("a"))
        console = app(ledger, users=USERS, access_record=folder / "access.jsonl")
        known = Visitor(console, ORIGIN, follow_redirects=False)
        assert known.sign_in().status_code == 303
        yield known
        asyncio.run(console.aclose())


@settings(max_examples=150, deadline=None)
@given(path=st.sampled_from(PAGES), query=st.dictionaries(st.sampled_from(NAMES), ANY, max_size=4))
def test_no_address_is_an_error_of_ours(
    attacked: Visitor, path: str, query: dict[str, str]
) -> None:
    """Whatever it asks for, it is answered, or refused with a reason: an exception would fail this."""
    said = "&".join(
        f"{name}={quote(text, errors='surrogateescape')}" for name, text in query.items()
    )
    known = {"id": "a"} if path.startswith("/delivery") and "id" not in query else {}
    said = "&".join([said, *(f"{name}={text}" for name, text in known.items())])
    answer = attacked.get(f"{path}?{said}")
    assert answer.status_code in (200, 400, 403, 404, 413), (path, query)
    assert "\r" not in answer.headers.get("location", "")
    assert "set-cookie" not in answer.headers


@pytest.mark.parametrize(
    "path",
    [
        *("/static/../console.py", "/static/%2e%2e/console.py", "/static/..%2fconsole.py"),
        *("/static//etc/passwd", "/static/%2fetc%2fpasswd", "/static/..\\console.py"),
        *("/static/", "/static", "/static/%00", "/static/.", "/templates/base.html"),
    ],
)
def test_only_what_is_static_is_served(filled: Path, path: str) -> None:
    """Nothing above its folder, no list of it, and nothing that leads to another host."""
    stranger = visitor(filled, name="")
    for prefix in ("", "/console"):
        answer = stranger.get(f"{prefix}{path}", headers={"Host": "localhost:8100"})
        assert answer.status_code in (307, 404), path
        assert "import" not in answer.text
        assert answer.headers.get("location", "http://localhost").startswith("http://localhost")


def test_a_form_that_comes_slowly_is_cut_off(filled: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who sends it byte by byte keeps no connection."""
    monkeypatch.setattr(desk, "PATIENCE", 0.05)
    stranger = visitor(filled, name="")

    async def post() -> int:
        async def slowly() -> Any:
            yield b"name="
            await asyncio.sleep(60)

        transport = httpx2.ASGITransport(stranger.app)
        async with httpx2.AsyncClient(transport=transport, base_url=ORIGIN) as client:
            headers = {"Origin": ORIGIN, "Content-Type": "application/x-www-form-urlencoded"}
            return (await client.post("/sign-in", content=slowly(), headers=headers)).status_code

    assert asyncio.run(post()) == 408


def test_strangers_who_guess_keep_nobody_waiting(filled: Path) -> None:
    """Passwords are looked at one by one, a few wait, others are told to come again."""
    known = visitor(filled)

    async def guess() -> list[int]:
        transport = httpx2.ASGITransport(known.app)
        async with httpx2.AsyncClient(transport=transport, base_url=ORIGIN) as client:

            async def once(number: int) -> int:
                name = f"nobody-{number}"
                form = {"csrf": tokens[number], "name": name, "password": "guessed"}
                answer = await client.post("/sign-in", data=form, headers={"Origin": ORIGIN})
                return answer.status_code

            tokens = []
            for _ in range(60):
                text = (await client.get("/sign-in")).text
                tokens.append(text.partition('name="csrf" value="')[2].partition('"')[0])
            return await asyncio.gather(*map(once, range(60)))

    statuses = asyncio.run(guess())
    assert set(statuses) == {403, 503}
    assert statuses.count(503) >= 60 - 2 * desk.OF_CLIENT


def test_one_who_guesses_leaves_room_for_others(filled: Path) -> None:
    """As many as may wait of one address are fewer than may wait in all."""
    console = visitor(filled).app._desk  # type: ignore[attr-defined]

    async def sign_in(client: str) -> bool:
        try:
            return await console.signed_in("nobody", "guessed", client) is None
        except desk.Refused:
            return False

    async def both() -> list[bool]:
        asked = [sign_in("192.0.2.1") for _ in range(30)] + [sign_in("192.0.2.2")]
        return await asyncio.gather(*asked)

    looked_at = asyncio.run(both())
    assert (sum(looked_at[:-1]), looked_at[-1]) == (desk.OF_CLIENT, True)


def test_what_was_meant_by_a_stranger_is_not_kept_at_any_length(filled: Path) -> None:
    """A long address leads to the list; many of them fill no memory."""
    stranger = visitor(filled, name="")
    stranger.get("/", params={"q": "x" * 2_000})
    assert stranger.sign_in().headers["location"] == "/"


def test_pages_that_are_not_there_begin_no_session(filled: Path) -> None:
    """A stranger who asks for many pushes nobody out who is about to sign in."""
    stranger = visitor(filled, name="")
    assert "set-cookie" not in stranger.get(f"/{random.random()}").headers
    assert stranger.cookies == {}
    begun = stranger.app._desk.sessions._strangers  # type: ignore[attr-defined]
    assert not begun
