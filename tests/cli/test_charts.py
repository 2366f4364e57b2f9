"""``postledger charts``."""

from __future__ import annotations

import json
import re
from pathlib import Path
from xml.etree import ElementTree

from postledger import Ledger
from postledger.definitions.chart_toml import load_chart
from postledger.definitions.definitions import builtin, providers, shipped
from tests.cli import Run
from tests.conftest import FIXTURES
from tests.definitions.samples import CHART, WORDS


def test_charts_prints_what_the_library_draws(run: Run, samples: Path) -> None:
    """Mermaid for diagrams, tables for people, of those that ship or of a ledger's own."""
    drawn = run("charts", "delivery", "--mermaid").stdout
    assert "stateDiagram-v2" in drawn
    assert 'state "degraded"' in drawn
    assert "delivered wins over any other outcome" in run("charts").stdout
    assert run("charts", "--ledger", samples).stdout == run("charts").stdout


def test_providers_are_listed(run: Run) -> None:
    """With their titles; those that are read unasked are marked."""
    listed = run("charts", "providers").stdout
    assert re.search(r"^skycore \*\s+Skycore SMS/MMS MT postbacks", listed, re.M)

    assert max(map(len, listed.splitlines())) <= 80
    assert "* is read by default" in listed
    (unsure,) = (line for line in listed.splitlines() if line.startswith("bird "))
    assert unsure.endswith("(unconfirmed)")


def test_a_provider_is_shown_with_its_page(run: Run) -> None:
    """By its name; programs get all of all of them."""
    shown = run("charts", "providers", "infobip").stdout
    assert re.search(r"^page +https://www.infobip.com/docs/", shown, re.M)
    assert re.search(r"^space +infobip$", shown, re.M)
    listed = json.loads(run("charts", "providers", "--json").stdout)
    assert [one["name"] for one in listed] == list(providers())
    assert json.loads(run("charts", "providers", "infobip", "--json").stdout) in listed
    assert {one["name"] for one in listed if one["by_default"]} == {"sinch", "skycore"}
    assert run("charts", "providers", "nobody").exit_code == 2


def test_the_vocabularies_of_a_ledger_are_listed(run: Run, tmp_path: Path) -> None:
    """With their spaces; ``--toml`` prints the text that the ledger has."""
    path = tmp_path / "l.db"
    with Ledger(path, providers="plivo"):
        pass
    listed = run("charts", "--ledger", path).stdout
    assert re.search(r"^plivo 1 \([0-9a-f]{8}\) +plivo +Plivo", listed, re.M)
    assert "skycore" not in listed
    assert run("charts", "--ledger", path, "--toml", "plivo").stdout == shipped("plivo").source
    assert run("charts", "--ledger", path, "--toml", "skycore").exit_code == 2


def test_try_shows_all_that_a_row_would_have(run: Run) -> None:
    """The reason and its class, labels, amounts and findings, of a vocabulary by its name."""
    body = FIXTURES / "providers/infobip/expired.json"
    done = run("charts", "try", "infobip", body)
    assert done.exit_code == 0
    lines = {tuple(re.split(" {2,}", line, maxsplit=1)) for line in done.stdout.splitlines()}
    assert {
        ("says", "expired"),
        ("state", "expired"),
        ("reason", "EC_ABSENT_SUBSCRIBER_SM: switched off or out of coverage"),
        ("reason class", "unreachable"),
        ("labels", "reference: order-3004, sender: ExampleShop"),
        ("amounts", "price: 0.01 EUR, segments: 1"),
        ("findings", "no_creation, outcome_without_sent"),
    } <= lines


def test_try_shows_what_a_ledger_would_show(run: Run, tmp_path: Path) -> None:
    """The delivery by one postback alone is that of a ledger with no other."""
    body = (FIXTURES / "providers/plivo/rejected.form").read_bytes()
    with Ledger(tmp_path / "l.db", providers="plivo") as ledger:
        delivery = ledger.record(body, "application/x-www-form-urlencoded").delivery
    assert delivery is not None
    done = run("charts", "try", "plivo", "-", stdin=body)
    assert done.exit_code == 0
    for text in (delivery.state, delivery.reason, delivery.reason_class, *delivery.findings):
        assert str(text) in done.stdout


def test_try_names_implausible_times_and_amounts(run: Run) -> None:
    """What can't be taken, or is kept as a finding, is said where it stands."""
    body = FIXTURES / "providers/infobip/expired.json"
    text = body.read_text().replace('"doneAt": "2026', '"doneAt": "2099').replace("0.01", '"much"')
    shown = run("charts", "try", "infobip", "-", stdin=text.encode()).stdout
    assert "(implausible: before 1990, or more than a day from now)" in shown
    assert re.search("^no price +'much' is not a decimal number$", shown, re.M)
    assert "timestamp_implausible" in shown
    assert "amount_unreadable" in shown


def test_try_says_what_it_lacks(run: Run, tmp_path: Path) -> None:
    """An unknown name, a chart that is not there, a body that no vocabulary reads so."""
    unknown = run("charts", "try", "nobody", "-", stdin=b"{}")
    assert (
        "unknown 'nobody': expected a TOML file, or of those that ship aws_sms, " in unknown.stderr
    )
    words, chart = tmp_path / "words.toml", tmp_path / "parcel.toml"
    words.write_text(WORDS)
    chart.write_text(CHART)
    body = b'{"CODE": "P2", "NUMBER": "7"}'
    alone = run("charts", "try", words, "-", stdin=body)
    assert "what follows isn't shown" in alone.stdout
    assert "or name your chart with --chart" in alone.stdout
    assert (
        "by this postback alone"
        in run("charts", "try", words, "-", "--chart", chart, stdin=body).stdout
    )
    unread = run("charts", "try", "infobip", "-", stdin=b"a=1")
    assert unread.exit_code == 1
    assert "if it is a form, say --content-type" in unread.stdout
    for body in (b"", b'{"a": ', b"x" * 100, b"a=1&" * 2000):
        unread = run("charts", "try", "infobip", "-", stdin=body)
        assert "can't be read" in unread.stdout
        assert "form, say" not in unread.stdout


def test_a_provider_is_no_chart_and_an_unknown_name_lists_both(run: Run) -> None:
    """Who asks for one as a chart is told the commands that show it."""
    asked = run("charts", "twilio").stderr
    assert "unknown chart 'twilio': expected content, delivery, discovery; " in asked
    assert "`charts providers twilio` shows the provider, `charts --toml twilio` its file" in asked
    assert "`charts providers" not in run("charts", "nosuch").stderr
    unknown = run("charts", "--toml", "nosuch").stderr
    assert f"discovery; or a vocabulary: {', '.join(providers())}" in unknown
    assert run("charts", "--toml", "twilio").exit_code == 0


def test_a_chart_can_be_had_as_a_picture(run: Run) -> None:
    """One well-formed SVG with every state of every region in it; which chart must be said."""
    drawn = run("charts", "--svg", "delivery")
    assert drawn.exit_code == 0
    texts = {node.text for node in ElementTree.fromstring(drawn.stdout).iter() if node.text}
    regions = builtin().charts["delivery"].regions
    assert {state for region in regions for state in region.states} <= texts
    assert run("charts", "--svg").exit_code == 2


def test_the_file_of_a_chart_is_one_to_begin_from(run: Run, tmp_path: Path) -> None:
    """``--toml`` prints what the chart was read from; ``check`` has nothing to say against it."""
    mine = tmp_path / "mine.toml"
    mine.write_text(run("charts", "--toml", "delivery").stdout)
    assert run("charts", "check", mine).exit_code == 0
    assert load_chart(mine.read_text()).source == mine.read_text()
    assert load_chart(mine.read_text()).regions == builtin().charts["delivery"].regions
    assert run("charts", "--toml").exit_code == 2
