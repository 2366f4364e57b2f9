"""The console without a browser: who gets in, what is masked, what is on record, hostile texts."""

from __future__ import annotations

import json
import os
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from html import escape
from pathlib import Path
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.routing import Mount

from postledger import AsyncLedger, Ledger, PostledgerError
from postledger.console import User, Users, app, asking, hashed, load_users
from postledger.console.access import Access, AccessRecord, Unrecorded
from postledger.console.sessions import IDLE, LONGEST, SHOWN, Attempts, Sessions
from postledger.log import log
from postledger.server import receiver
from tests.console import (
    CONSOLES,
    HASH,
    NAME,
    ORIGIN,
    PASSWORD,
    USERS,
    VIEWER,
    Visitor,
    bundle,
    visitor,
)
from tests.samples import DEGRADED, SMS, delivered, failed, sent
from tests.stores import both_stores

NUMBER = "16502424956"
WRITING = {"Origin": ORIGIN}


def accesses(record: Path) -> list[dict[str, object]]:
    """What the record has."""
    return [json.loads(line) for line in record.read_text().splitlines()] if record.exists() else []


# --- who gets in ---


@pytest.mark.parametrize("path", ["/", "/delivery?id=x", "/delivery/body?id=x"])
def test_strangers_see_nothing(filled: Path, path: str) -> None:
    """They are led to the form, and from there to where they meant to go."""
    stranger = visitor(filled, name="")
    answer = stranger.get(path)
    assert (answer.status_code, answer.headers["location"]) == (303, "/sign-in")
    assert answer.text == ""
    assert stranger.sign_in().headers["location"] == path


def test_wrong_password_is_refused_and_guessing_slowed_down(filled: Path) -> None:
    """The same is said of a name that is not known; after ten tries a minute must pass."""
    stranger = visitor(filled, name="")
    said = {
        stranger.sign_in(name, "guessed").text.partition('role="alert"')[2][:60]
        for name in (NAME, "?")
    }
    assert len(said) == 1
    statuses = [stranger.sign_in(NAME, "guessed").status_code for _ in range(10)]
    assert statuses == [403] * 9 + [429]
    assert stranger.sign_in(NAME).status_code == 429
    assert stranger.sign_in(VIEWER).status_code == 303


@pytest.mark.parametrize(
    "said",
    [
        {"client": ("203.0.113.9", 5)},
        {"client": ("127.0.0.1", 5), "headers": {"X-Forwarded-For": "198.51.100.1, 203.0.113.9"}},
    ],
    ids=["itself", "by a proxy"],
)
def test_what_one_address_guesses_keeps_nobody_else_out(filled: Path, said: Any) -> None:
    """Whoever knows a name, and no password, locks nobody out of it but themselves."""
    here = visitor(filled, name="")
    there = Visitor(CONSOLES[-1], ORIGIN, follow_redirects=False, **said)
    statuses = [there.sign_in(NAME, "guessed").status_code for _ in range(11)]
    assert statuses == [403] * 10 + [429]
    assert "from your address" in there.sign_in(NAME).text
    assert here.sign_in(NAME).status_code == 303
    assert there.sign_in(VIEWER).status_code == 303


def test_cookie_is_for_this_site_alone(filled: Path) -> None:
    """No script reads it, no other site sends it, and by HTTPS nothing else carries it."""
    stranger = visitor(filled, name="")
    before = stranger.get("/sign-in").headers["set-cookie"]
    kept = stranger.sign_in().headers["set-cookie"]
    assert {"HttpOnly", "SameSite=strict", "Path=/"} <= set(kept.split("; "))
    # Whoever knew the secret of before knows nothing.
    assert kept.split(";")[0] != before.split(";")[0]
    safe = visitor(filled, name="", https=True).get("/sign-in").headers["set-cookie"]
    assert safe.startswith("__Host-postledger=")
    assert "Secure" in safe


def test_signing_out_ends_the_session(known: Visitor) -> None:
    """Also for one who kept the cookie."""
    cookies = dict(known.cookies)
    token = known.token("/", "/sign-out")
    assert known.submit("/sign-out", {"csrf": token}).status_code == 303
    known.cookies.clear()
    known.cookies.update(cookies)
    assert known.get("/").headers["location"] == "/sign-in"


# --- other sites ---


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "localhost.evil.example",
        "",
        "127.0.0.1.nip.io",
        "localhost:80@evil.example",
        "localhost:1:2",
        "localhost/x",
        "localhost:",
        "[::1",
        "[::1]x",
        "@localhost",
    ],
)
def test_another_host_is_refused(known: Visitor, host: str) -> None:
    """A name that leads here by DNS rebinding shows nothing."""
    answer = known.get("/", headers={"Host": host})
    assert answer.status_code == 421
    assert "TRACKINGID" not in answer.text


def test_hosts_are_named_without_their_port(filled: Path) -> None:
    """Whatever port a tunnel has, and in any case."""
    asked = visitor(filled, name="", hosts=["Ops.Example"])
    assert asked.get("/", headers={"Host": "ops.example:8443"}).status_code == 303
    assert asked.get("/", headers={"Host": "localhost"}).status_code == 421


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.example"},
        {"Origin": "http://localhost:81"},
        {"Origin": "null"},
        {},
        {"Origin": ORIGIN, "Sec-Fetch-Site": "cross-site"},
        {"Origin": ORIGIN, "Sec-Fetch-Site": "same-site"},
    ],
)
def test_a_form_of_another_site_is_refused(
    known: Visitor, record: Path, headers: dict[str, str]
) -> None:
    """Even with a right token; and it stays unused."""
    form = _unmasking(known)
    assert known.post("/delivery/unmask", data=form, headers=headers).status_code == 403
    assert accesses(record) == []
    assert known.submit("/delivery/unmask", form).status_code == 303


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"}, 403),
        ({"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "cors"}, 403),
        ({"Origin": "https://evil.example"}, 403),
        (
            {
                "Sec-Fetch-Site": "cross-site",
                "Sec-Fetch-Mode": "navigate",
                "Sec-Fetch-Dest": "document",
            },
            200,
        ),
        ({"Sec-Fetch-Site": "none", "Sec-Fetch-Mode": "navigate"}, 200),
        ({"Sec-Fetch-Site": "same-origin", "Sec-Fetch-Mode": "cors"}, 200),
    ],
)
def test_another_site_reads_nothing(known: Visitor, headers: dict[str, str], status: int) -> None:
    """A link may be followed; pictures, scripts and requests of others are refused."""
    assert known.get("/", headers=headers).status_code == status


def test_every_answer_has_the_headers(known: Visitor) -> None:
    """Pages, files, refusals: nothing runs but what this site has, nothing frames it, nobody keeps it."""
    paths = ["/", "/sign-in", "/nothing", "/static/htmx.min.js", "/?token=x", "/delivery?id=nobody"]
    for path in paths:
        headers = known.get(path).headers
        policy = headers["content-security-policy"]
        assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self'")
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["cache-control"] == "no-store"


def test_pages_have_no_inline_script_or_style(known: Visitor) -> None:
    """The policy would refuse them."""
    for path in ("/", f"/delivery?id={DEGRADED}", "/sign-in"):
        text = known.get(path).text
        assert not re.search(r"<style|\sstyle=|\son\w+=|javascript:|<script(?! src=)", text)


# --- tokens ---


def _unmasking(known: Visitor, reason: str = "the customer called") -> dict[str, str]:
    """The form that unmasks the degraded delivery."""
    token = known.token("/delivery", "/delivery/unmask", id=DEGRADED)
    return {"csrf": token, "id": DEGRADED, "reason": reason}


def test_a_token_is_taken_once(known: Visitor, record: Path) -> None:
    """One that is missing, made up, used, or another's is refused, and nothing is on record."""
    form = _unmasking(known)
    for csrf in ("", "x", "\ud800".encode("utf-8", "surrogatepass").decode("latin-1")):
        assert known.submit("/delivery/unmask", {**form, "csrf": csrf}).status_code == 403
    assert (
        known.submit("/delivery/unmask", {k: form[k] for k in ("id", "reason")}).status_code == 403
    )
    other = Visitor(known.app, ORIGIN, follow_redirects=False)
    assert other.sign_in().status_code == 303
    assert other.submit("/delivery/unmask", form).status_code == 403
    assert accesses(record) == []
    assert known.submit("/delivery/unmask", form).status_code == 303
    assert known.submit("/delivery/unmask", form).status_code == 403
    assert len(accesses(record)) == 1


@pytest.mark.parametrize(
    "name",
    [
        "token",
        "TOKEN",
        "csrf",
        "password",
        "session",
        "postledger",
        "__Host-postledger",
        "access_token",
        "api-key",
        "apikey",
        "passwd",
        "pwd",
        "X-Auth",
        "client_secret",
        "credentials",
    ],
)
def test_a_secret_in_an_address_is_refused(known: Visitor, name: str) -> None:
    """Addresses are kept in histories and logs."""
    assert known.get("/", params={name: "x"}).status_code == 400
    assert known.get("/", params={"q": "token"}).status_code == 200


def test_the_secret_of_a_session_in_an_address_ends_it(known: Visitor) -> None:
    """By whatever name: it is known to others now."""
    secret = known.cookies["postledger"]
    assert known.get("/", params={"q": secret}).status_code == 400
    assert known.get("/").headers["location"] == "/sign-in"


def test_forms_are_bounded(known: Visitor) -> None:
    """In bytes, in fields and in kind."""
    headers = {**WRITING, "Content-Type": "application/x-www-form-urlencoded"}
    for body, status in (
        (b"csrf=" + b"x" * (1 << 20), 413),
        (b"&".join(b"a%d=" % n for n in range(30)), 400),
        (b"csrf=\xff", 400),
    ):
        assert known.post("/sign-out", content=body, headers=headers).status_code == status
    assert known.post("/sign-out", json={}, headers=WRITING).status_code == 415


# --- masking, and unmasking on record ---


def test_numbers_are_masked(known: Visitor) -> None:
    """On the list, on the page of a delivery, in its events and their bodies."""
    for text in (
        known.page("/"),
        known.page("/delivery", id=DEGRADED),
        known.page("/delivery", id=DEGRADED, event=1),
        known.page("/", q=NUMBER).replace(NUMBER, "", 3),
    ):
        assert "•••••••4956" in text
        assert NUMBER not in text


def test_unmasking_is_on_record_before_it_is_shown(known: Visitor, record: Path) -> None:
    """Who, when, which and why; then page and bodies show the number."""
    answer = known.submit("/delivery/unmask", _unmasking(known))
    (access,) = accesses(record)
    at = access.pop("at")
    assert isinstance(at, str)
    assert at.endswith("Z")
    assert access == {
        "user": NAME,
        "role": "unmasker",
        "reason": "the customer called",
        "delivery": DEGRADED,
        "space": "",
        "position": None,
    }
    assert answer.headers["location"] == f"/delivery?id={DEGRADED.replace('=', '%3D')}"
    text = known.page("/delivery", id=DEGRADED)
    assert NUMBER in text
    assert "unmasked, on record" in text
    # It is that delivery alone, and not the list.
    assert "16501112222" not in known.page("/delivery", id="TU1TXzU5Nzg3OQ==")
    assert NUMBER not in known.page("/")
    body = known.get("/delivery/body", params={"id": DEGRADED, "event": 1})
    assert body.headers["content-type"] == "text/plain; charset=utf-8"
    assert body.text.startswith("<?xml")
    token = known.token("/delivery", "/delivery/mask", id=DEGRADED)
    assert known.submit("/delivery/mask", {"csrf": token, "id": DEGRADED}).status_code == 303
    assert NUMBER not in known.page("/delivery", id=DEGRADED)
    assert oct(record.stat().st_mode & 0o777) == "0o600"


def test_what_cannot_be_recorded_is_not_shown(filled: Path, tmp_path: Path) -> None:
    """The record is a folder now, or gone with its own: the number stays masked."""
    record = tmp_path / "records" / "access.jsonl"
    record.parent.mkdir()
    known = visitor(filled, access_record=record)
    record.mkdir()
    assert known.submit("/delivery/unmask", _unmasking(known)).status_code == 503
    assert NUMBER not in known.page("/delivery", id=DEGRADED)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="/dev/full is not there")
def test_a_full_disk_shows_no_number(filled: Path) -> None:
    """What was written in part is no record."""
    known = visitor(filled, access_record="/dev/full")
    assert known.submit("/delivery/unmask", _unmasking(known)).status_code == 503
    assert NUMBER not in known.page("/delivery", id=DEGRADED)


@pytest.mark.parametrize("reason", ["", "  x  ", "y" * 501])
def test_a_reason_is_required(known: Visitor, record: Path, reason: str) -> None:
    """Without one of 5 to 500 characters no number is shown, and nothing recorded."""
    answer = known.submit("/delivery/unmask", _unmasking(known, reason))
    assert "must have 5 to 500 characters" in answer.text
    assert NUMBER not in answer.text
    assert accesses(record) == []


def test_a_viewer_unmasks_nothing(filled: Path, record: Path) -> None:
    """Neither by the page, which has no form for it, nor without it."""
    viewer = visitor(filled, name=VIEWER, access_record=record)
    assert "unmask" not in viewer.page("/delivery", id=DEGRADED).lower().replace("unmasked", "")
    token = viewer.token("/", "/sign-out")
    form = {"csrf": token, "id": DEGRADED, "reason": "let me see"}
    assert viewer.submit("/delivery/unmask", form).status_code == 403
    assert viewer.get("/delivery/body", params={"id": DEGRADED}).status_code == 403
    assert accesses(record) == []


def test_without_a_record_nobody_unmasks(filled: Path) -> None:
    """What can't be recorded is not shown, also to the role that may unmask."""
    known = visitor(filled)
    form = {"csrf": known.token("/", "/sign-out"), "id": DEGRADED, "reason": "let me see"}
    assert known.submit("/delivery/unmask", form).status_code == 403


def test_a_record_is_appended_line_by_line(record: Path) -> None:
    """After a line that was cut short, too; a reason with line breaks stays one line."""
    record.write_text('{"user": "cut sh')
    AccessRecord(record).append(Access("a\nb", "unmasker", "c\u2028d", delivery="\ud800"))
    _, line, *more = record.read_bytes().split(b"\n")
    assert more == [b""]
    assert json.loads(line)["user"] == "a\nb"
    with pytest.raises(Unrecorded, match="No such file or directory"):
        AccessRecord(record.parent / "none" / "access.jsonl").append(Access("a", "b", "c"))


# --- the ledger ---


def test_console_writes_nothing(filled: Path, record: Path) -> None:
    """Not one byte of the ledger's file, whatever is looked at."""
    before = filled.read_bytes()
    known = visitor(filled, access_record=record)
    for path in ("/", f"/delivery?id={DEGRADED}", "/?q=nothing", "/delivery?id=nobody"):
        known.get(path)
    assert known.submit("/delivery/unmask", _unmasking(known)).status_code == 303
    assert filled.read_bytes() == before


@both_stores
def test_console_stands_next_to_the_receiver(tmp_path: Path) -> None:
    """Mounted below a path, all that it links, keeps and asks for stands there."""
    path, record = tmp_path / "both.db", tmp_path / "access.jsonl"
    ledger = AsyncLedger(path)
    console = app(path, users=USERS, access_record=record)

    @asynccontextmanager
    async def lifespan(_: object) -> AsyncIterator[None]:
        async with ledger:
            yield
        await console.aclose()

    routes = [Mount("/console", console), Mount("/", receiver(ledger))]
    service = Starlette(routes=routes, lifespan=lifespan)
    with Visitor(service, ORIGIN, follow_redirects=False) as visited:
        assert visited.post("/skycore", content=sent("here")).status_code == 200
        assert visited.get("/console/").headers["location"] == "/console/sign-in"
        token = visited.token("/console/sign-in", "/console/sign-in")
        form = {"csrf": token, "name": NAME, "password": PASSWORD}
        answer = visited.submit("/console/sign-in", form)
        assert answer.headers["location"] == "/console/"
        assert "Path=/console" in answer.headers["set-cookie"]
        text = visited.page("/console/")
        assert 'href="/console/delivery?id=here"' in text
        assert visited.get("/console/static/console.js").status_code == 200
        links = set(re.findall(r'(?:href|src|action|data-stream)="(/[^"?]*)', text))
        assert {link for link in links if not link.startswith("/console/")} == set()
        token = visited.token("/console/delivery", "/console/delivery/unmask", id="here")
        form = {"csrf": token, "id": "here", "reason": "to see it"}
        answer = visited.submit("/console/delivery/unmask", form)
        assert answer.headers["location"] == "/console/delivery?id=here"
    assert len(accesses(record)) == 1


@both_stores
def test_slider_folds_again(known: Visitor) -> None:
    """After one event of two it stood sent; a time before the first says so."""
    assert "as known at" not in known.page("/delivery", id=SMS, step=2)
    early = known.page("/delivery", id=SMS, step=1)
    assert "Sent, as known at" in early
    assert known.get("/delivery", params={"id": SMS, "at": "2001-01-01"}).status_code == 404
    assert known.get("/delivery", params={"id": SMS, "at": "soon"}).status_code == 400
    assert known.get("/delivery", params={"id": SMS, "step": "9" * 40}).status_code == 200


def _numbered(page: str) -> dict[str, str]:
    """Where each event of the table stands in the log, by the event's number."""
    table = page.partition("<caption>Events")[2].partition("</table>")[0]
    numbers = re.findall(r'aria-label="Event (\d+)"', table)
    positions = re.findall(r'href="/event\?position=\d+">([\d.,]+)</a>', table)
    assert numbers
    return dict(zip(numbers, positions, strict=True))


def test_a_number_is_one_event_wherever_the_slider_stands(ledger: Ledger) -> None:
    """Also where events came out of their order: earlier views have gaps, in pictures and words too."""
    ledger.record_many(
        [
            failed("late").replace(b"41:08", b"41:30"),
            delivered("late"),
            delivered("late"),
            sent("late"),
            sent("late").replace(b"Message Sent", b"Success"),
        ]
    )
    known = visitor(ledger)
    numbers = _numbered(known.page("/delivery", id="late"))
    assert len(numbers) == 5
    assert [*numbers.values()] != sorted(numbers.values())
    for step in range(1, 5):
        page = known.page("/delivery", id="late", step=step)
        then = _numbered(page)
        assert len(then) == step
        assert then.items() <= numbers.items()
        words = re.sub(r"<[^>]+>|\s+", " ", page.partition('id="why"')[2].partition("</p>")[0])
        assert set(re.findall(r"(?i)event (\d+)", words)) <= then.keys()
        drawn = page.partition("<desc")[2].partition("</desc>")[0]
        assert set(re.findall(r"Event (\d+)", drawn)) <= then.keys()
        for number, position in then.items():
            shown = known.page("/delivery", id="late", step=step, event=number)
            (headline,) = re.findall(r'<h2 id="h-event">(.*?)</h2>', shown)
            assert f"position {position}" in headline
            steps = re.findall(r'event=(\d+)#event">(?:Previous|Next)', shown)
            assert set(steps) <= then.keys() - {number}
    last = known.page("/delivery", id="late", step=4)
    assert "Numbered among all 5 that are known now" in last
    assert "Numbered among" not in known.page("/delivery", id="late")


def test_where_an_event_stands_is_called_its_position(known: Visitor) -> None:
    """On pages that show no one delivery, or that a position of a delivery leads to."""
    for path, query in (("/", {}), ("/unread", {}), ("/event", {"position": 6})):
        page = re.sub(r"<[^>]+>", " ", known.page(path, **query))
        assert re.search(r"(?i)positions? +\d", page)
        assert not re.search(r"(?i)\bevents? +\d", page)


@both_stores
def test_the_list_is_the_newest_heard_first(ledger: Ledger) -> None:
    """Each delivery once, where it was heard last; filters and older ones follow."""
    for key in "abc":
        ledger.record(sent(f"key-{key}"))
    ledger.record(delivered("key-a"))
    ledger.record(failed("key-b"))
    known = visitor(ledger)

    def keys(**query: object) -> list[str]:
        return re.findall(r'<a class="mono"[^>]*>(key-\w)</a>', known.page("/", **query))

    assert keys() == ["key-b", "key-a", "key-c"]
    assert keys(only="open") == ["key-c"]
    assert keys(only="other") == ["key-b"]
    assert keys(before=4) == ["key-c", "key-b", "key-a"]
    assert keys(q="key-a") == ["key-a"]


def test_the_list_says_how_far_it_looked(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where few deliveries fit it looks at some events, and leads to those before, to the very first."""
    monkeypatch.setattr(asking, "MOST_LOOKED_AT", 10)
    ledger.record(failed("early"))
    ledger.record_many(sent(f"key-{n}") for n in range(24))
    known = visitor(ledger)
    text, asked = known.page("/", only="failed"), []
    while link := re.search(r'href="/\?(only=failed&amp;before=[^"]+)"[^>]*>([^<]+)</a>', text):
        said = re.search(r'<p class="pager"><span>([^<]+)</span>', text)
        assert said is not None
        asked.append((said[1], link[2]))
        text = known.get(f"/?{link[1].replace('&amp;', '&')}").text
    none = ", and none before was looked at"
    assert asked == [
        (f"0 shown of positions 16 to 25{none}", "Look further back"),
        (f"0 shown of positions 6 to 15{none}", "Look further back"),
    ]
    assert "1 shown of positions 1 to 5, which is all of them" in text
    assert ">early</a>" in text
    for query in ("only=none", "before=x", "before=1.x", "before=-1", "only=%3Cscript%3E"):
        assert known.get(f"/?{query}").status_code == 400


def test_a_page_may_end_within_an_event(tmp_path: Path) -> None:
    """Of a body that bundles more deliveries than a page has lines the next page has the rest."""
    with Ledger(tmp_path / "bundles.db", providers=["infobip"]) as ledger:
        ledger.record(bundle("first"))
        ledger.record(bundle(*(f"key-{n}" for n in range(120))))
        known = visitor(ledger)
        text, keys, links = known.page("/"), [], []
        while len(links) < 5:
            keys += re.findall(r'<a class="mono"[^>]*>([\w-]+)</a>', text)
            link = re.search(r'href="(/\?before=[^"]+)"', text)
            if link is None:
                break
            links.append(link[1])
            text = known.get(link[1]).text
    assert keys == [*(f"key-{n}" for n in range(119, -1, -1)), "first"]
    assert links == ["/?before=2.70", "/?before=2.20"]


def test_large_bodies_are_read_one_by_one(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    """A page of the log ends early where they are large: none is left out, and few are in memory."""
    ledger.record_many(sent(f"key-{n}") for n in range(9))
    monkeypatch.setattr(log, "PAGE_BYTES", 1_000)
    known = visitor(ledger)
    keys = re.findall(r'<a class="mono"[^>]*>key-(\d)</a>', known.page("/"))
    assert keys == [str(n) for n in range(8, -1, -1)]


def test_a_search_says_that_there_is_more(ledger: Ledger) -> None:
    """The newest are listed, and that they are not all."""
    ledger.record_many(sent(f"key-{n}") for n in range(51))
    known = visitor(ledger)
    text = known.page("/", q="key-")
    assert "The newest 50 found for" in text
    assert "write more of it" in text
    text = known.page("/", q="key-5")
    assert "2 found for" in text
    assert "write more of it" not in text


def test_a_disputed_delivery_says_why_it_stands(known: Visitor) -> None:
    """In one sentence above all else, with the numbers of the events, which lead to these."""
    page = known.page("/delivery", id=DEGRADED)
    why = page.partition('<p class="lede" id="why">')[2].partition("</p>")[0]
    assert "though it is disputed" in page.partition(why)[0]
    said = " ".join(re.sub(r"<[^>]+>", "", why).split())
    assert said.startswith(
        "Event 3 reported delivered at 2012-06-07 12:28:09 UTC; event 5 reported failed"
    )
    assert said.endswith("it stands delivered.")
    assert re.findall(r'event=(\d)[^"]*#event"', why)[:2] == ["3", "5"]


HOSTILE = "<script>alert(1)</script>\u202e&lt;'\""


def test_hostile_texts_are_text(ledger: Ledger, record: Path) -> None:
    """Markup is escaped, what can't be seen is written out, and what is long is cut."""
    key = "<img src=x onerror=alert(1)>"
    ledger.record(sent("hostile", SPID=escape(HOSTILE)))
    ledger.record(sent(escape(key), STATUSDETAILS="r" * 1_000_000 + "\u202e", TO="16503333058"))
    ledger.record(sent("+1 650 333-3058", TO="16503333058"))
    known = visitor(ledger, access_record=record)
    for page in (
        known.page("/"),
        known.page("/delivery", id="hostile"),
        known.page("/delivery", id=key),
    ):
        assert "<script>" not in page
        assert "<img" not in page
        assert "\u202e" not in page
        assert len(page) < 100_000
    # An id that tells a number has an address that doesn't.
    (ref,) = re.findall(r"/delivery\?ref=(\w+)", known.page("/"))
    text = known.page("/delivery", ref=ref)
    assert "3333058" not in re.sub(r"\D", "", text.replace("•••••••3058", ""))
    early = known.get("/delivery", params={"ref": ref, "at": "2001-01-01"})
    assert early.status_code == 404
    assert "Search for the delivery again" in early.text
    form = {
        "csrf": known.token("/delivery", "/delivery/unmask", id=key),
        "id": key,
        "reason": "to read it",
    }
    assert known.submit("/delivery/unmask", form).status_code == 303
    page = known.page("/delivery", id=key)
    assert len(page) < 100_000
    assert "r…" in page
    body = known.get("/delivery/body", params={"id": key})
    assert body.headers["content-type"].startswith("text/plain")
    assert len(body.text) > 1_000_000


def test_what_is_not_there_is_said(known: Visitor) -> None:
    """An address that is not known, a delivery that is not, and one that is forgotten."""
    assert known.get("/nothing").status_code == 404
    assert known.get("/delivery", params={"id": "nobody"}).status_code == 404
    assert known.get("/delivery").status_code == 400
    assert known.get("/delivery", params={"ref": "x"}).status_code == 404
    assert "Nothing was found" in known.page("/", q="<b>")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("56", "at least 4 digits, and 56 has fewer: give its last 4, or all of it"),
        ("424957", "whole, or by its last four digits: try 4957"),
        ("nobody", "the beginning of the id"),
    ],
)
def test_an_empty_search_says_what_was_not_searched(known: Visitor, text: str, said: str) -> None:
    """Masked texts are not; and it says the rule for numbers, and what searches everything."""
    page = known.page("/", q=text)
    (headline,) = re.findall(r'<h2 id="h-list">(.*?)</h2>', page)
    assert "masked texts were not searched" in headline
    assert "words of reasons and other texts that are masked are not searched" in page
    assert "postledger deliveries LEDGER --search TEXT" in page
    assert said in page


def test_a_wrong_password_keeps_the_name(filled: Path) -> None:
    """As text, whatever was written."""
    text = visitor(filled, name="").sign_in('"><script>', "guessed").text
    assert 'value="&#34;&gt;&lt;script&gt;"' in text
    assert "<script>" not in text
    assert "guessed" not in text


# --- users and sessions ---


def test_file_of_users_says_what_is_wrong(tmp_path: Path) -> None:
    """Each by its number, with what is expected."""
    path = tmp_path / "users.toml"
    user = f'[[users]]\nname = "a"\npassword = "{HASH}"\n'
    for text, said in (
        ("", "expected tables"),
        ("x", "not TOML"),
        (user + 'roles = "x"', r"users\[1\]: expected name, password"),
        (user + 'role = "root"', r"role must be viewer or unmasker, got 'root'"),
        (user.replace(HASH, "plain text"), "password must be a hash"),
        (user.replace('"a"', '""'), "name must be 1 to 100"),
        (user.replace('"a"', "1"), "expected texts in quotes"),
        (user * 2, "'a' is there twice"),
    ):
        path.write_text(text)
        with pytest.raises(PostledgerError, match=said):
            load_users(path)
    with pytest.raises(PostledgerError, match="No such file"):
        load_users(tmp_path / "none.toml")
    path.write_text(user)
    assert load_users(path).signed_in("a", PASSWORD) == User("a", HASH)


def test_passwords_are_told_apart() -> None:
    """Also those that are long, strange or empty."""
    users = Users([User("a", hashed("p" * 1024)), User("b", hashed("\ud800"))])
    assert users.signed_in("a", "p" * 1024)
    assert users.signed_in("b", "\ud800")
    assert users.signed_in("b", "") is None
    for wrong in ("", "p" * 1025):
        with pytest.raises(ValueError, match="password must be 1 to 1024 characters, got"):
            hashed(wrong)
    with pytest.raises(ValueError, match="users must be at least one"):
        Users([])


def test_sessions_end_by_themselves() -> None:
    """When they were not used for long, and after half a day at the latest; so does what they show."""
    now = 0.0
    sessions = Sessions(lambda: now)
    secret, session = sessions.begin(User("a", HASH, "unmasker"))
    session.show("x")
    now = SHOWN - 1
    assert session.shows("x")
    now = SHOWN + 1
    assert not session.shows("x")
    while now < LONGEST:
        assert sessions.find(secret) is session
        now += IDLE
    assert sessions.find(secret) is None
    secret, _ = sessions.begin(User("a", HASH))
    now += IDLE + 1
    assert sessions.find(secret) is None


def test_sessions_are_bounded() -> None:
    """Strangers push out strangers, never those who signed in."""
    sessions = Sessions()
    kept, _ = sessions.begin(User("a", HASH))
    first, _ = sessions.begin()
    for _ in range(10_000):
        sessions.begin()
    assert sessions.find(first) is None
    assert sessions.find(kept) is not None
    attempts = Attempts()
    for number in range(20_000):
        attempts.failed(f"client {number}", "name")
    assert len(attempts._names._failed) == len(attempts._clients._failed) == 10_000


def test_an_address_that_guesses_many_names_waits() -> None:
    """A minute after fifty wrong passwords, whatever the names were; others don't."""
    now = [0.0]
    attempts = Attempts(lambda: now[0])
    for number in range(50):
        assert attempts.wait("here", f"name {number}") == 0
        attempts.failed("here", f"name {number}")
    assert attempts.wait("here", "another") == 60
    assert attempts.wait("there", "name 1") == 0
    now[0] = 61.0
    assert attempts.wait("here", "another") == 0


def _open_files() -> int:
    """How many files this process has open; 0 where the system doesn't say."""
    return len(os.listdir("/proc/self/fd")) if Path("/proc/self/fd").exists() else 0  # noqa: PTH208


def test_file_descriptors_are_closed(record: Path) -> None:
    """Of the record none is left open."""
    before = _open_files()
    for _ in range(20):
        AccessRecord(record).append(Access("a", "unmasker", "because", position=1))
    assert _open_files() <= before
    assert len(accesses(record)) == 20
