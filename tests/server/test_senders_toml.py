"""The senders file: every fault is explained, and no message shows a secret."""

from __future__ import annotations

from pathlib import Path

import pytest

from postledger import DefinitionError
from postledger.server.senders import QUOTA, Posted
from postledger.server.senders_toml import load_senders
from tests.server import SECRETS

WHOLE = """
public_url = "https://hooks.example.org/"
proxies = ["10.0.0.0/8", "2001:db8::1"]

[sources.skycore]
response = "env:POSTLEDGER_TEST_TOKEN"
quota = 1000
refuse = true
[[sources.skycore.checks]]
kind = "path"
secret = ["path-5ecret", "file:secrets/old"]
addresses = ["192.0.2.0/24"]
[[sources.skycore.checks]]
name = "office"
kind = "addresses"
addresses = ["198.51.100.7"]
[[sources.skycore.checks]]
kind = "basic"
user = "skycore"
password = "b4sic-password"
[[sources.skycore.checks]]
kind = "header"
header = "X-Token"
prefix = "Token "
secret = "t0ken-of-header"

[[sources.other.checks]]
kind = "hmac"
header = "X-Signature"
secret = "signing-k3y"
[[sources.other.checks]]
kind = "standard-webhooks"
secret = "whsec_c2lnbmluZy1rM3k"
[[sources.other.checks]]
kind = "url-and-parameters"
header = "X-Url-Signature"
secret = "signing-k3y"
"""


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A senders file with all that there is, and the secrets that it names."""
    monkeypatch.setenv("POSTLEDGER_TEST_TOKEN", "respOnse-token")
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets/old").write_text("older-5ecret\n")
    path = tmp_path / "senders.toml"
    path.write_text(WHOLE)
    return path


def test_file_is_read_with_all_that_it_says(file: Path) -> None:
    """Names are the kinds where none is given; secrets come from the environment and from files."""
    senders = load_senders(file)
    assert isinstance(senders.proxies, tuple)
    assert [str(one) for one in senders.proxies] == ["10.0.0.0/8", "2001:db8::1/128"]
    skycore, other = senders.sources["skycore"], senders.sources["other"]
    assert [rule.name for rule in skycore.rules] == ["path", "office", "basic", "header"]
    assert (skycore.quota, skycore.refuse, skycore.in_path) == (1000, True, True)
    assert [rule.name for rule in other.rules] == [
        "hmac",
        "standard-webhooks",
        "url-and-parameters",
    ]
    assert (other.quota, other.refuse, other.in_path) == (QUOTA, False, False)
    token = Posted("", b"", {"authorization": "Bearer respOnse-token"}, b"")
    assert skycore.may_respond(token)
    assert not other.may_respond(token)
    assert not any(secret in repr(senders) for secret in (*SECRETS, "older-5ecret"))


CHECK = '[[sources.a.checks]]\nkind = "{}"\n'


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a = ", "not TOML"),
        ("", "sources are missing; write [[sources.NAME.checks]] tables"),
        ("sources = 1", "sources are missing"),
        (
            "other = 1\n[sources.a]",
            "unknown key 'other'; the keys are proxies, public_url, sources",
        ),
        ("[sources.a]", "sources.a: checks are missing; write [[sources.a.checks]] tables"),
        ("[sources]\na = 1", "sources.a: checks are missing"),
        ("[sources.a]\nchecks = [1]", "sources.a.checks[1]: not a table; write"),
        ('[[sources."a b".checks]]', "sources.a b: not the name of a source; a source must be"),
        ("[[sources.livez.checks]]", "sources.livez: not the name of a source"),
        ("[[sources.a.checks]]", "sources.a.checks[1]: kind is missing; write one of path, basic,"),
        (CHECK.format("magic"), "sources.a.checks[1]: kind is 'magic'; write one of path, basic,"),
        ("[[sources.a.checks]]\nkind = []", "kind is an empty array"),
        (CHECK.format("path"), "sources.a.checks[1]: secret is missing; write secret = "),
        (CHECK.format("path") + "secret = 7", "secret is invalid"),
        (CHECK.format("path") + "secret = []", "secret is invalid"),
        (CHECK.format("path") + 'secret = ["path-5ecret", 7]', "secret is invalid"),
        (CHECK.format("path") + 'secret = ""', "secret: the secret is empty; put"),
        (CHECK.format("path") + 'secret = "path-5ecret/x"', "secret can't stand in a path; use"),
        (CHECK.format("path") + 'secret = "response"', "secret can't stand in a path"),
        (
            CHECK.format("path") + 'secret = "env:NOT_THERE"',
            "secret: env:NOT_THERE: the variable is missing; set it",
        ),
        (CHECK.format("path") + 'secret = "file:none"', "file:none: can't be read: No such file"),
        (CHECK.format("path") + 'secret = "file:empty"', "file:empty: the file is empty; put"),
        (CHECK.format("path") + 'secret = "file:odd"', "file:odd: the file is not UTF-8; a secret"),
        (CHECK.format("path") + 'secret = "file:a\\u0000"', "can't be read: not a path; check"),
        (CHECK.format("path") + 'token = "path-5ecret"', "unknown key 'token'; the keys are"),
        (CHECK.format("path") + 'secret = "a"\nname = "X Y"', "name is 'X…'; write lower-case"),
        (CHECK.format("path") + 'secret = "a"\nname = "unverified"', "name is 'unverified'"),
        (CHECK.format("path") + 'secret = "a"\naddresses = []', "addresses is an empty array"),
        (CHECK.format("addresses"), 'addresses is missing; write addresses = ["192.0.2.0/24", …]'),
        (
            CHECK.format("addresses") + 'addresses = ["192.0.2.1/24"]',
            "addresses: 192.0.2.1/24 has host bits set; write 192.0.2.0/24 or 192.0.2.1",
        ),
        (CHECK.format("basic") + 'password = "b4sic-password"', "user is missing"),
        (
            CHECK.format("basic") + 'user = "a:b4sic-password"\npassword = "b"',
            "user is 'a…'; write user = \"…\", without a colon",
        ),
        (CHECK.format("basic") + 'user = "a"', "password is missing"),
        (CHECK.format("header") + 'secret = "a"', "header is missing"),
        (CHECK.format("header") + 'secret = "a"\nheader = "a b"', "header is 'a b'; write"),
        (CHECK.format("header") + 'secret = "a"\nheader = "a"\nprefix = 1', "prefix is 1"),
        (
            CHECK.format("hmac") + 'secret = "a"\nheader = "a"\nalgorithm = "md5"',
            "algorithm is 'md5'",
        ),
        (
            CHECK.format("hmac") + 'secret = "a"\nheader = "a"\nencoding = "b"',
            "encoding is 'b'",
        ),
        (
            CHECK.format("standard-webhooks") + 'secret = "whsec_?"',
            "secret is not base64; write it",
        ),
        (CHECK.format("standard-webhooks") + 'secret = "whsec_"', "secret is not base64"),
        (CHECK.format("url-and-parameters") + 'header = "a"\nsecret = "a"', "requires public_url;"),
        (
            2 * (CHECK.format("path") + 'secret = "a"\n'),
            "two checks have the name 'path'; give one",
        ),
        (
            '[sources.a]\nquota = "1"\n' + CHECK.format("path") + 'secret = "a"',
            "quota is '1'; write the number",
        ),
        (
            "[sources.a]\nrefuse = 1\n" + CHECK.format("path") + 'secret = "a"',
            "write true or false",
        ),
        (
            "[sources.a]\nresponse = 1\n" + CHECK.format("path") + 'secret = "a"',
            "response is invalid",
        ),
        (
            'public_url = "hooks"\n' + CHECK.format("path") + 'secret = "a"',
            "public_url is 'hooks'; write",
        ),
        (
            'public_url = "https://u:b4sic-password@a?b"\n' + CHECK.format("path") + 'secret = "a"',
            "public_url is '…'; write",
        ),
        (
            'public_url = "https://a/path?signing-k3y"\n' + CHECK.format("path") + 'secret = "a"',
            "public_url is 'https://a/path…'; write",
        ),
        (
            'public_url = "https://["\n' + CHECK.format("path") + 'secret = "a"',
            "public_url is 'https://…'; write",
        ),
        (
            'public_url = "https://a/#b"\n' + CHECK.format("path") + 'secret = "a"',
            "public_url is 'https://a/…'; write",
        ),
        (CHECK.format("path") + 'secret = "env:"', "secret: env: names nothing; write env:NAME"),
        (CHECK.format("path") + 'secret = "file:"', "secret: file: names nothing; write env:NAME"),
        (
            "[sources.a.checks]\nkind = 1",
            "sources.a: checks must be an array of tables; write [[sou",
        ),
        ("proxies = -1\n" + CHECK.format("path") + 'secret = "a"', "proxies is -1; write"),
        (
            'proxies = ["?"]\n' + CHECK.format("path") + 'secret = "a"',
            "proxies: '?' is not an address or network",
        ),
    ],
)
def test_fault_says_where_it_is_and_what_to_write(tmp_path: Path, text: str, said: str) -> None:
    """In one line, without what may be a secret."""
    path = tmp_path / "senders.toml"
    path.write_text(text)
    (tmp_path / "empty").write_text("\n")
    (tmp_path / "odd").write_bytes(b"\xff")
    with pytest.raises(DefinitionError) as raised:
        load_senders(path)
    message = "\n".join(raised.value.faults)
    assert message.startswith(f"{path}: ")
    assert said in message
    assert not any(secret in message for secret in SECRETS)


@pytest.mark.parametrize(
    ("text", "faults"),
    [
        ("source = 1", ["unknown key 'source'", "sources are missing"]),
        ("[sources.a]\ncheck = 1", ["unknown key 'check'", "checks are missing"]),
        ('[[sources.a.checks]]\nknd = "path"', ["unknown key 'knd'", "kind is missing"]),
        (CHECK.format("path") + 'secrets = "a"', ["unknown key 'secrets'", "secret is missing"]),
        (
            '[sources.a]\nresponse = "env:NO_1"\n'
            + CHECK.format("path")
            + 'secret = ["env:NO_2", "env:NO_3"]\n'
            + CHECK.format("basic")
            + 'user = "a"\npassword = "env:NO_4"',
            ["response: env:NO_1", "secret: env:NO_2", "secret: env:NO_3", "password: env:NO_4"],
        ),
        (
            CHECK.format("addresses") + 'addresses = ["192.0.2.0/24", "hooks.example.org"]',
            ["addresses: 'hooks.example.org' is not an address or network"],
        ),
    ],
)
def test_mistyped_key_is_said_before_what_is_missing(
    tmp_path: Path, text: str, faults: list[str]
) -> None:
    """And all that is missing at once, variables too."""
    path = tmp_path / "senders.toml"
    path.write_text(text)
    with pytest.raises(DefinitionError) as raised:
        load_senders(path)
    said = raised.value.faults
    assert len(said) == len(faults)
    assert all(fault in line for fault, line in zip(faults, said, strict=True)), said


def test_faults_are_reported_together(tmp_path: Path) -> None:
    """A file is fixed in one go."""
    path = tmp_path / "senders.toml"
    path.write_text("proxies = -1\n" + CHECK.format("path") + CHECK.format("basic"))
    with pytest.raises(DefinitionError) as raised:
        load_senders(path)
    assert len(raised.value.faults) == 3


def test_file_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    """So is one that is not text."""
    with pytest.raises(DefinitionError, match=r"none.toml: can't be read: No such file"):
        load_senders(tmp_path / "none.toml")
    (tmp_path / "odd.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(DefinitionError, match="it is not UTF-8"):
        load_senders(tmp_path / "odd.toml")
