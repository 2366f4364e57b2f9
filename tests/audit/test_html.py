"""The page: well formed, complete in itself, accessible, and it says what was reckoned."""

from __future__ import annotations

import re
import sys
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import islice, pairwise
from pathlib import Path
from typing import Any

import pytest

import postledger
from postledger import AuditReport, Ledger, PostledgerError, Receipt
from postledger import simulate as simulation
from postledger.audit import Cover, render
from postledger.audit.plots.drawing import BAD, GOOD, OPEN
from postledger.audit.render import as_markdown
from tests.audit import plain
from tests.audit.pages import HTML, SVG, Tables, of_html, of_markdown, text, tree
from tests.audit.traffic import START, traffic
from tests.conftest import FIXTURES, ledger_of

NOW = START + timedelta(days=10)
ENGINE = Path(postledger.__file__).parent
STYLE = "".join(
    (ENGINE / name).read_text("utf-8")
    for name in ("sheet/postledger.css", "audit/templates/document.css")
)
SAMPLES = [p.read_bytes() for p in sorted((FIXTURES / "specification").glob("*.xml"))]
ODD = b"""<POSTBACK><ORIGIN>SMS_MT</ORIGIN><CODE>N201</CODE><STATUS>Message Sent</STATUS>
<TO>16503333058</TO><TRACKINGID>&lt;b&gt;|`x`\xe2\x80\xae*</TRACKINGID><SPID>&lt;script&gt;1&lt;/script&gt;</SPID>
<NOTE><![CDATA[<script>alert(1)</script>]]>\xf0\x9f\x98\x80]]&gt;</NOTE></POSTBACK>\r\n"""
ODD_KEY = "<b>|`x`\u202e*"


@pytest.fixture(scope="module")
def busy() -> Iterator[Ledger]:
    """A ledger with every disturbance in it, and odd words."""
    with ledger_of([*traffic(300, seed=3, days=9), ODD, b"\x00\xff", b"<script>"]) as ledger:
        yield ledger


@pytest.fixture(scope="module")
def reports(busy: Ledger) -> dict[str, AuditReport]:
    """Reports of all kinds."""
    made = {"busy": busy.audit(as_of=NOW), "unmasked": busy.audit(unmask=True)}
    made["period"] = busy.audit(since=START, until=START + timedelta(days=1), as_of=NOW)
    made["none"] = busy.audit(since=NOW + timedelta(days=9000))
    made["odd dossier"] = busy.audit(tracking_id=ODD_KEY, unmask=True)
    for number in range(0, 300, 60):
        made[f"dossier {number}"] = busy.audit(tracking_id=f"MSG{number:07d}==")
    with ledger_of([]) as ledger:
        made["empty"] = ledger.audit()
    with ledger_of(SAMPLES[:1]) as ledger:
        made["one"] = ledger.audit()
    with ledger_of(SAMPLES) as ledger:
        made["specification"] = ledger.audit()
        made["dossier"] = ledger.audit(tracking_id="TU1TXzU5Nzg3Nw==")
    return made


KINDS = [
    *("busy", "unmasked", "period", "none", "empty", "one", "specification", "dossier"),
    *("odd dossier", *(f"dossier {number}" for number in range(0, 300, 60))),
]


@pytest.fixture(params=KINDS)
def page(request: pytest.FixtureRequest, reports: dict[str, AuditReport]) -> str:
    """The HTML of each kind of report."""
    return reports[request.param].to_html()


def test_page_is_well_formed_and_complete_in_itself(page: str) -> None:
    """It parses as XML, runs no script, and asks the network for nothing."""
    root = tree(page)
    names = {element.tag.rpartition("}")[2] for element in root.iter()}
    assert not names & {"script", "link", "img", "iframe", "object", "base", "foreignObject"}
    for element in root.iter():
        assert not any(key.startswith("on") or key == "src" for key in element.attrib)
        assert element.get("href", "#").startswith("#")
    assert "@import" not in page
    assert set(re.findall(r"url\((.)", page)) <= {"#"}


def test_page_has_landmarks_and_headings_in_order(page: str) -> None:
    """One h1, a main part, and no heading level left out on the way down."""
    root = tree(page)
    assert root.get("lang") == "en"
    for name in ("header", "nav", "main", "footer"):
        assert root.find(f".//{HTML}{name}") is not None
    levels = [int(e.tag[-1]) for e in root.iter() if re.fullmatch(rf"{HTML}h\d", e.tag)]
    assert levels.count(1) == 1
    assert levels[0] == 1
    assert all(below - above <= 1 for above, below in pairwise(levels))


def test_ids_are_unique_and_found(page: str) -> None:
    """Whatever is referred to within the page is there, once."""
    root = tree(page)
    ids = [e.get("id") for e in root.iter() if e.get("id")]
    assert len(ids) == len(set(ids))
    wanted = {e.get("href", "")[1:] for e in root.iter(f"{HTML}a")}
    wanted |= {i for e in root.iter() for i in e.get("aria-labelledby", "").split()}
    wanted |= set(re.findall(r'url\(#([^)"]+)\)', page))
    assert wanted <= set(ids)


def test_tables_and_pictures_are_told_to_those_who_do_not_see_them(page: str) -> None:
    """Each table has a caption and headed rows and columns, each picture a title and description."""
    root = tree(page)
    for table in root.iter(f"{HTML}table"):
        assert text(table.find(f"{HTML}caption"))
        heads = table.findall(f"{HTML}thead/{HTML}tr/{HTML}th")
        assert heads
        assert all(head.get("scope") == "col" for head in heads)
        for row in table.iterfind(f"{HTML}tbody/{HTML}tr"):
            assert [cell.tag == f"{HTML}th" for cell in row] == [True] + [False] * (len(heads) - 1)
            assert row[0].get("scope") == "row"
    for svg in root.iter(f"{SVG}svg"):
        if svg.get("role") == "img":
            assert text(svg.find(f"{SVG}title"))
            assert text(svg.find(f"{SVG}desc"))
    # What stands in a picture that is told, or that says nothing, need not be told.
    told = {
        id(svg)
        for e in root.iter()
        if e.get("aria-hidden") or e.get("role") == "img"
        for svg in e.iter(f"{SVG}svg")
    }
    assert all(id(svg) in told for svg in root.iter(f"{SVG}svg"))


def test_what_can_not_be_seen_is_written_out(page: str) -> None:
    """No character on the page reorders, hides or breaks what a reader sees."""
    assert "\u202e" not in page
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u2066-\u2069\ufeff]", page)


def test_body_with_a_script_shows_as_text(reports: dict[str, AuditReport]) -> None:
    """Whatever came is text on the page: in bodies, in ids, in groups."""
    root = tree(reports["odd dossier"].to_html())
    bodies = [text(pre) for pre in root.iter(f"{HTML}pre")]
    assert any("<script>alert(1)</script>" in body for body in bodies)
    assert text(root.find(f".//{HTML}h1")) == "<b>|`x`⟨U+202E⟩* stands sent"
    carriers = of_html(reports["unmasked"].to_html())["Deliveries by carrier and state"]
    assert "<script>1</script>" in [row[0] for row in carriers]


@pytest.mark.parametrize("kind", KINDS)
def test_markdown_has_the_tables_of_the_page(kind: str, reports: dict[str, AuditReport]) -> None:
    """Page and Markdown say the same, cell by cell."""
    page = of_html(reports[kind].to_html())
    page.pop("Charts and vocabularies that the report was read by")
    assert of_markdown(reports[kind].to_markdown()) == page


def test_markdown_lets_no_word_of_a_body_be_markup(reports: dict[str, AuditReport]) -> None:
    """Outside of code nothing that came is a tag, and a fence is longer than any in the body."""
    shown = reports["odd dossier"].to_markdown()
    outside = re.sub(r"(?ms)^(`{3,})\n.*?^\1$", "", shown)
    assert "<script>alert(1)</script>" in shown
    assert not re.search(r"(?<!\\)<", re.sub(r"`+[^`]*`+", "", outside))


def _share(part: int, whole: int) -> str:
    return f"{100 * part / whole:.1f}%" if whole else "–"


def test_page_says_what_was_reckoned(busy: Ledger, reports: dict[str, AuditReport]) -> None:
    """The numbers on the page are those of the plain reckoning, written for people."""
    told = plain.deliveries(busy, None, None, as_of=NOW)
    tables = of_html(reports["busy"].to_html())
    total = len(told)
    states = [(s, sum(one.state == s for one in told)) for s in plain.STATES]
    assert tables["Deliveries by state"][1:] == [
        *([state, str(n), _share(n, total)] for state, n in states),
        ["All", str(total), "100.0%"],
    ]
    _check_groups(tables["Deliveries by route and state"], plain.by(told, lambda t: t.route))
    days = tables["Deliveries by day (UTC) on which they began"]
    _check_groups(days, plain.by(told, plain.day))
    assert [row[0] for row in days[1:]] == sorted({plain.day(one) for one in told})
    _check_groups(
        tables["Deliveries by carrier and state"],
        plain.by(told, lambda t: t.texts.get("spid", "not known")),
    )
    _check_findings(tables, told)
    open_ = [[str(n) if n else "0" for n in row] for row in plain.ages(told, NOW)]
    rows = tables[f"Deliveries without outcome by age at {NOW:%Y-%m-%d %H:%M:%S} UTC"]
    assert [row[1:-1] for row in rows[1:-1]] == open_[1:]
    found = plain.percentiles(told)
    assert found is not None
    assert tables["Time from sent to outcome, by route"][1][1] == str(found["count"])


def _check_groups(rows: list[list[str]], groups: dict[str | None, dict[str, Any]]) -> None:
    assert {row[0]: row[1:10] for row in rows[1:]} == {
        label: [
            str(group["total"]),
            _share(group["states"]["delivered"], group["total"]),
            *(str(n) if n else "–" for n in group["states"].values()),
        ]
        for label, group in groups.items()
    }


def _check_findings(tables: Tables, told: list[plain.Told]) -> None:
    shown = 0
    for caption in ("Findings that question an outcome", "Findings of form or arrival"):
        for name, _, count, share, most, latest in tables[caption][1:]:
            word = name.lower().replace(" ", "_")
            having = [one for one in told if word in one.findings]
            assert (count, share) == (str(len(having)), _share(len(having), len(told)))
            at = Counter(one.texts.get("spid", "not known") for one in having)
            carrier, _, number = most.partition(": ")
            assert int(number) == at[carrier] == max(at.values())
            assert latest in {one.key for one in having}
            listed = tables.get(f"Deliveries with {name.lower()}", [()])[1:]
            assert len(listed) == (0 if word == "contradiction" else min(len(having), 3))
            shown += 1
    assert shown == len({finding for one in told for finding in one.findings})


def test_picture_of_the_days_is_to_scale(reports: dict[str, AuditReport]) -> None:
    """The heights of the blocks are to each other as the numbers they stand for."""
    root = tree(reports["busy"].to_html())
    svg = next(s for s in root.iter(f"{SVG}svg") if s.get("aria-labelledby") == "days-t days-d")
    blocks = [
        (float(rect.get("height", "")), int(text(rect.find(f"{SVG}title")).split(": ")[1]))
        for rect in svg.iter(f"{SVG}rect")
    ]
    per_delivery = sum(height for height, _ in blocks) / sum(count for _, count in blocks)
    assert all(abs(height - count * per_delivery) < 0.2 for height, count in blocks)


def test_report_without_any_delivery_says_so(reports: dict[str, AuditReport]) -> None:
    """An empty ledger and an empty period have a report too."""
    for kind in ("none", "empty"):
        page = reports[kind].to_html()
        assert "No delivery began in this period." in page
        assert "NaN" not in page
    assert reports["empty"].to_dict()["outcomes"]["all"]["total"] == 0


def test_report_of_one_delivery_speaks_of_one(reports: dict[str, AuditReport]) -> None:
    """A single delivery is told in the singular, without a picture of a single day."""
    page = reports["one"].to_html()
    assert "0 of 1" in page
    assert "delivery is delivered" in page
    assert "days-t" not in page


def test_same_report_gives_the_same_bytes(busy: Ledger) -> None:
    """Nothing in a report depends on chance."""
    one, other = (busy.audit(as_of=NOW) for _ in range(2))
    assert re.sub(r"Made.*\n", "", one.to_html()) == re.sub(r"Made.*\n", "", other.to_html())


def test_size_does_not_grow_with_the_deliveries() -> None:
    """Lists are cut and say how to get the rest, so that a report of any ledger can be mailed."""
    with ledger_of(traffic(2500, seed=8, days=30)) as ledger:
        page = ledger.audit(until=START + timedelta(days=90)).to_html()
    assert len(page) < 250_000
    assert re.search("--finding [a-z-]+ --until 2014-01-30T00:00:00Z --csv", page)


@pytest.mark.long
def test_a_month_of_25000_messages_is_below_a_megabyte(tmp_path: Path) -> None:
    """With all disturbances, and those of half a day after it."""
    since = simulation.START
    until = since + timedelta(days=28)
    rate = 25_000 / (28 * 86_400)
    with Ledger(tmp_path / "month.db") as ledger:
        receipts = simulation.simulate(25_500, seed=7, disturbances=simulation.ALL, rate=rate)
        while page := list(islice(receipts, 1_000)):
            ledger.record_many(page)
        report = ledger.audit(since=since, until=until)
    assert report.figures is not None
    assert report.figures.outcomes.all.total > 20_000
    assert report.figures.contradictions.deliveries > 300
    assert len(report.to_html().encode()) < 1_000_000
    assert len(report.to_json().encode()) < 1_000_000


def test_picture_does_not_grow_with_the_days() -> None:
    """More days are drawn as weeks, so that three years of them don't make a larger page."""
    pages = []
    for days in (90, 390):
        with ledger_of(traffic(800, seed=8, days=days)) as ledger:
            pages.append(ledger.audit(as_of=10**6).to_html())
    assert "days-t" in pages[1]
    assert len(pages[1]) < len(pages[0])


def test_ledger_that_contradicts_itself_says_so(tmp_path: Path) -> None:
    """What verify finds wrong stands in the report, and takes the place of the all clear."""
    import sqlite3

    path = tmp_path / "bad.db"
    with Ledger(path) as ledger:
        ledger.record_many(SAMPLES)
    with sqlite3.connect(path) as db:
        db.execute("DROP TRIGGER events_no_update")
        db.execute("UPDATE events SET received_at = received_at + 1 WHERE position = 4")
    db.close()
    with Ledger(path, guarded=False, readonly=True) as ledger:
        report = ledger.audit(verify=True)
    assert not report.integrity.ok
    for shown in (report.to_html(), report.to_markdown()):
        assert "Not all holds" in shown
        assert "position 4: the event is not what was received" in shown
        assert "All holds" not in shown


def test_without_jinja_one_line_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, reports: dict[str, AuditReport]
) -> None:
    """JSON needs no extra; HTML names it."""
    monkeypatch.setitem(sys.modules, "jinja2", None)
    render._environment.cache_clear()
    assert reports["one"].to_json()
    with pytest.raises(PostledgerError, match="-m pip install jinja2"):
        reports["one"].to_html()
    monkeypatch.undo()
    assert reports["one"].to_html()


def _palette(scheme: str) -> dict[str, str]:
    found = re.findall(r"--([\w-]+): light-dark\((#[0-9a-f]{6}), (#[0-9a-f]{6})\)", STYLE)
    return {name: dark if scheme == "dark" else light for name, light, dark in found}


def _luminance(colour: str) -> float:
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def _contrast(one: str, other: str) -> float:
    light, dark = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_colours_are_told_apart(scheme: str) -> None:
    """WCAG AA: text 4.5 to 1 on its ground, parts of pictures 3 to 1."""
    palette = _palette(scheme)
    for ground in ("paper", "wash"):
        for ink in ("ink", "soft", "accent", "good", "bad"):
            assert _contrast(palette[ink], palette[ground]) >= 4.5, (ink, ground)
    for sign in (*OPEN, *GOOD, *BAD):
        assert _contrast(palette[sign], palette["paper"]) >= 3, sign


def test_report_tells_what_was_imported() -> None:
    """Events whose time of reception a file stated are counted, and marked in a dossier."""
    received = Receipt(SAMPLES[0], None, datetime(2013, 11, 5, tzinfo=UTC), imported=True)
    with ledger_of([received]) as ledger:
        assert "1 of them: the time of reception" in ledger.audit(verify=True).to_html()
        assert "(as the imported file states)" in ledger.audit(tracking_id="U01TXzgwNjc4").to_html()


@pytest.mark.parametrize("key", [None, "MSG0000000=="])
def test_a_report_wears_what_it_is_given(busy: Ledger, key: str | None) -> None:
    """Title, parties, reference and author stand first, as text, and the name of the file does, too."""
    cover = Cover("<b>June</b>", ["Skycore", "A & B"], reference="R-7", author="I. Okafor")
    report = busy.audit(tracking_id=key, as_of=NOW, cover=cover)
    page, markdown = report.to_html(), report.to_markdown()
    head = page[page.index("<body>") : page.index("</header>")]
    assert "<h1>&lt;b&gt;June&lt;/b&gt;</h1>" in head
    assert "<b>June" not in page
    told = ["A &amp; B", "R-7", "I. Okafor", report.ledger, *([key] if key else [])]
    assert all(text in head for text in told)
    assert markdown.startswith(r"# \<b\>June")
    assert all(f"- {name}: " in markdown for name in ("Parties", "Reference", "Author"))
    assert report.to_dict()["cover"]["parties"] == ["Skycore", "A & B"]
    assert "Parties" not in busy.audit(as_of=NOW).to_html()


def test_printed_pages_have_numbers_and_the_anchor(reports: dict[str, AuditReport]) -> None:
    """In their margins; what stands there can't end the string that it stands in."""
    report = reports["odd dossier"]
    page = report.to_html()
    margins = page[page.index("@page {") : page.index("@page :first")]
    assert 'content: "Page " counter(page) " of " counter(pages);' in margins
    size, _, root = str(report.integrity.anchor).partition(":")
    assert f'content: "Anchor {size}\\00003a{root}";' in margins
    assert r'content: "\00003cb\00003e\00007c\000060x\000060' in margins
    assert "<b>" not in margins


def test_markdown_makes_no_entity_and_no_link_of_a_text() -> None:
    """What a provider wrote is a text: no sign of it means anything."""
    said = as_markdown("&lt;b&gt; https://a.example www.a.example x@a.example")
    assert said == r"\&lt;b\&gt; https\://a.example www\.a.example x\@a.example"
