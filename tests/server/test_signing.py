"""Signing: secrets are read in one way, and what is made with them is taken by what checks them."""

from __future__ import annotations

import os
import re
from base64 import b64encode
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postledger import PostledgerError
from postledger.server.senders import Posted, StandardWebhooks
from postledger.server.senders_toml import load_senders
from postledger.server.signing import headers_of, read_secret, secret_of, webhook_key

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
CHECK = """
[[sources.a.checks]]
kind = "standard-webhooks"
secret = "file:hook-secret"
"""


@given(
    st.binary(min_size=24, max_size=64),
    st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1),
    st.integers(0, 10**10),
    st.binary(),
)
def test_what_is_signed_is_taken(secret: bytes, key: str, at: int, body: bytes) -> None:
    """By the check of the senders, until a byte differs."""
    check, headers = StandardWebhooks((secret,)), headers_of([secret], key, at, body)
    assert check.passes(Posted("/a", b"", headers, body), at)
    assert not check.passes(Posted("/a", b"", headers, body + b"x"), at)


@pytest.mark.parametrize("ending", ["", "\n", "\r\n", " \n"])
def test_a_file_that_signs_is_one_that_checks(tmp_path: Path, ending: str) -> None:
    """Whatever ends its line."""
    file = tmp_path / "hook-secret"
    file.write_text(SECRET + ending, newline="")
    (tmp_path / "senders.toml").write_text(CHECK)
    (rule,) = load_senders(tmp_path / "senders.toml").sources["a"].rules
    assert rule.checks == (StandardWebhooks((secret_of(f"file:{file}"),)),)


def test_a_secret_stands_where_it_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A variable as it is, a file without the end of its line; a word alone is the secret."""
    monkeypatch.setenv("HUSH", " a\n")
    (tmp_path / "hush").write_bytes(b" b \r\n")
    assert read_secret("env:HUSH") == b" a\n"
    assert read_secret("file:hush", tmp_path) == b" b "
    assert read_secret(f"file:{tmp_path}/hush") == b" b "
    for word in ("env", "file", "environment:HUSH", "é"):
        assert read_secret(word) == word.encode()


@pytest.mark.parametrize("kind", ["env", "file"])
def test_a_secret_that_is_not_text_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """Without showing it."""
    monkeypatch.setenv("HUSH", os.fsdecode(b"hu\xffsh"))
    (tmp_path / "HUSH").write_bytes(b"hu\xffsh")
    what = {"env": "variable", "file": "file"}[kind]
    said = re.escape(f"{kind}:HUSH: the {what} is not UTF-8; a secret is text")
    with pytest.raises(PostledgerError, match=f"^{said}$"):
        read_secret(f"{kind}:HUSH", tmp_path)


def test_a_key_is_read_with_and_without_what_fills_it_up() -> None:
    """As other programs write it: with or without the prefix."""
    key = b"signing-k3y"
    text = b64encode(key)
    for written in (text, text.rstrip(b"="), b"whsec_" + text, b"whsec_" + text.rstrip(b"=")):
        assert webhook_key(written) == key
