"""Who may post: each kind of check takes what was made with its secret, and nothing else."""

from __future__ import annotations

import base64
import hmac
import tracemalloc
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import partial
from hashlib import sha256
from urllib.parse import quote, quote_plus

import attrs
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from standardwebhooks import Webhook

from postledger import UNVERIFIED
from postledger.errors import ReadError
from postledger.server.addresses import networks_of
from postledger.server.senders import (
    TOLERANCE,
    Addresses,
    Basic,
    Check,
    InHeader,
    InPath,
    Posted,
    Rule,
    Rules,
    SignedBody,
    SignedUrl,
    StandardWebhooks,
    require_source,
)
from postledger.wire import read
from tests.samples import SMS, sent

KEY, OTHER = b"signing-k3y", b"another"
NOW = 1_700_000_000.0
PUBLIC = "https://hooks.example.org"


def posted(body: bytes = b"", headers: Mapping[str, str] | None = None, **more: object) -> Posted:
    """A request."""
    return Posted("/s", b"", headers or {}, body, **more)  # type: ignore[arg-type]


def basic(text: str) -> dict[str, str]:
    """The header of a user and a password."""
    return {"authorization": f"Basic {base64.b64encode(text.encode()).decode()}"}


@pytest.mark.parametrize(
    ("check", "good", "bad"),
    [
        (
            InPath((b"new", b"old")),
            [posted(rest="new"), posted(rest="old")],
            [posted(), posted(rest=""), posted(rest="ne"), posted(rest="new/"), posted(rest="é")],
        ),
        (
            Basic((b"user:pass:word",)),
            [posted(headers=basic("user:pass:word"))],
            [
                posted(),
                posted(headers=basic("user:password")),
                posted(headers={"authorization": "Basic ?"}),
                posted(headers={"authorization": "Basic é"}),
                posted(headers={"authorization": "Bearer user:pass:word"}),
            ],
        ),
        (
            InHeader("x-token", "Token ", (KEY,)),
            [posted(headers={"x-token": f"Token {KEY.decode()}"})],
            [
                posted(),
                posted(headers={"x-token": KEY.decode()}),
                posted(headers={"x-token": "Token "}),
                posted(headers={"x-token": "Token é"}),
                posted(headers={"x-other": f"Token {KEY.decode()}"}),
            ],
        ),
    ],
)
def test_secret_is_required_as_it_is(check: Check, good: list[Posted], bad: list[Posted]) -> None:
    """In the path, as a password, or in a header."""
    assert all(check.passes(one, NOW) for one in good)
    assert not any(check.passes(one, NOW) for one in bad)


def test_addresses_are_those_of_the_networks() -> None:
    """An address that isn't known is in none of them."""
    check = Addresses(networks_of(["192.0.2.0/24", "2001:db8::/32"]))
    inside = [networks_of([one])[0][0] for one in ("192.0.2.7", "2001:db8::7")]
    assert all(check.passes(posted(address=one), NOW) for one in inside)
    outside = networks_of(["192.0.3.7"])[0][0]
    assert not check.passes(posted(address=outside), NOW)
    assert not check.passes(posted(), NOW)


bodies = st.binary(max_size=200)
keys = st.binary(min_size=1, max_size=80)


@given(
    bodies,
    bodies,
    keys,
    keys,
    st.sampled_from(["sha1", "sha256", "sha384", "sha512"]),
    st.sampled_from(["hex", "base64"]),
    st.sampled_from(["", "sha256="]),
)
def test_signature_of_a_body_is_that_of_the_body(
    body: bytes, other: bytes, key: bytes, wrong: bytes, algorithm: str, encoding: str, prefix: str
) -> None:
    """Made with one of the secrets, over these bytes, written as it is agreed."""
    check = SignedBody("x-signature", algorithm, encoding, prefix, (OTHER * 9, key))
    digest = hmac.new(key, body, algorithm).digest()
    text = prefix + (digest.hex() if encoding == "hex" else base64.b64encode(digest).decode())
    request = posted(body, {"x-signature": text})
    assert check.passes(request, NOW)
    assert check.passes(attrs.evolve(request, body=other), NOW) == (body == other)
    # A shorter key is the same as one filled up with zeros (RFC 2104).
    is_same = hmac.new(wrong, body, algorithm).digest() == digest
    assert attrs.evolve(check, secrets=(wrong,)).passes(request, NOW) == is_same
    assert not check.passes(attrs.evolve(request, headers={"x-signature": text[:-4]}), NOW)
    assert not check.passes(attrs.evolve(request, headers={"x-signature": "?" + text}), NOW)
    assert not check.passes(attrs.evolve(request, headers={}), NOW)
    if prefix:
        bare = {"x-signature": text.removeprefix(prefix)}
        assert not check.passes(attrs.evolve(request, headers=bare), NOW)


def webhook(key: bytes, text: str, at: float, id_: str = "msg_1") -> Posted:
    """A request as the package of Standard Webhooks signs it."""
    time = datetime.fromtimestamp(at, UTC)
    headers = {
        "webhook-id": id_,
        "webhook-timestamp": str(int(at)),
        "webhook-signature": Webhook(key).sign(id_, time, text),
    }
    return posted(text.encode(), headers)


@given(st.text(max_size=100), keys, st.integers(-2 * TOLERANCE, 2 * TOLERANCE))
def test_standard_webhooks_are_those_of_the_package(text: str, key: bytes, off: int) -> None:
    """What it signs passes, within the tolerance; what is sent again later does not."""
    check = StandardWebhooks((OTHER, key))
    assert check.passes(webhook(key, text, NOW + off), NOW) == (abs(off) <= TOLERANCE)


def test_standard_webhooks_need_each_part() -> None:
    """Several signatures may stand there; what is missing, changed or of another version is refused."""
    check, request = StandardWebhooks((KEY,)), webhook(KEY, '{"a": "é"}', NOW)
    assert check.passes(request, NOW)

    def with_(**changed: str) -> Posted:
        given = {f"webhook-{name}": text for name, text in changed.items()}
        return attrs.evolve(request, headers={**request.headers, **given})

    right = request.headers["webhook-signature"]
    assert check.passes(with_(signature=f"v1,AAAA v1a,{right[3:]} {right}"), NOW)
    for changed in (
        with_(id="msg_2"),
        with_(id=""),
        with_(timestamp=str(int(NOW) + 1)),
        with_(timestamp=""),
        with_(timestamp="NaN"),
        with_(timestamp="9" * 400),
        with_(timestamp=f"{NOW}"),
        with_(signature=right.replace("v1,", "v2,")),
        with_(signature=right[3:]),
        with_(signature=""),
        with_(signature="v1,é"),
        attrs.evolve(request, body=request.body + b" "),
        attrs.evolve(request, headers={}),
    ):
        assert not check.passes(changed, NOW)


FORM = {"content-type": "application/x-www-form-urlencoded; charset=utf-8"}


def signed_url(text: str, key: bytes = KEY) -> dict[str, str]:
    """The header of a signature over a text."""
    return {"x-sig": base64.b64encode(hmac.new(key, text.encode(), "sha1").digest()).decode()}


def test_signature_of_url_and_parameters_is_the_published_example() -> None:
    """The one of the scheme's documentation: POST parameters in order of their names."""
    check = SignedUrl("x-sig", "https://example.com", (b"12345",))
    fields = {
        "CallSid": "CA1234567890ABCDE",
        "Caller": "+14158675310",
        "Digits": "1234",
        "From": "+14158675310",
        "To": "+18005551212",
    }
    body = "&".join(f"{name}={quote_plus(text)}" for name, text in reversed(fields.items()))
    headers = {**FORM, "x-sig": "L/OH5YylLD5NRKLltdqwSvS0BnU="}
    request = Posted("/myapp.php?foo=1&bar=2", b"foo=1&bar=2", headers, body.encode())
    assert check.passes(request, NOW)
    assert not check.passes(attrs.evolve(request, url="/myapp.php?foo=2&bar=2"), NOW)
    assert not check.passes(attrs.evolve(request, body=request.body + b"&a=1"), NOW)


def test_body_that_no_signature_covers_is_refused() -> None:
    """A body that is not a form is covered by its hash in the query, and by that alone."""
    check, body = SignedUrl("x-sig", PUBLIC, (KEY,)), b'{"a": 1}'
    query = f"bodySHA256={sha256(body).hexdigest()}"
    url = f"/s?{query}"
    headers = {"content-type": "application/json", **signed_url(PUBLIC + url)}
    request = Posted(url, query.encode(), headers, body)
    assert check.passes(request, NOW)
    assert not check.passes(attrs.evolve(request, body=b'{"a": 2}'), NOW)
    bare = {"content-type": "application/json", **signed_url(f"{PUBLIC}/s")}
    assert check.passes(Posted("/s", b"", bare, b""), NOW)
    assert not check.passes(Posted("/s", b"", bare, body), NOW)
    for odd in (b"\xff=1", b"a=%ff"):
        assert not check.passes(Posted("/s", b"", {**bare, **FORM}, odd), NOW)


class Unread(bytes):
    """A body that nobody may look at."""

    def decode(self, *_: object, **__: object) -> str:
        raise AssertionError


@pytest.mark.parametrize("text", [None, "", "AAAA", "?", base64.b64encode(b"x" * 21).decode()])
def test_body_is_looked_through_for_a_signature_alone(text: str | None) -> None:
    """Of the right length: whoever has none can't have a large form taken apart."""
    check = SignedUrl("x-sig", PUBLIC, (KEY,))
    headers = FORM if text is None else {**FORM, "x-sig": text}
    assert not check.passes(Posted("/s", b"", headers, Unread(b"a=1")), NOW)


def test_form_has_as_many_fields_as_the_reader_takes() -> None:
    """A thousand; one with more is unverified, however it is signed."""
    check = SignedUrl("x-sig", PUBLIC, (KEY,))
    for count, passes in ((1000, True), (1001, False)):
        headers = FORM | signed_url(f"{PUBLIC}/sa")
        body = b"&".join([b"a"] * count)
        assert check.passes(Posted("/s", b"", headers, body), NOW) == passes


POSTBACK = sent(SMS).decode()
VALUES = [POSTBACK, quote_plus(POSTBACK), quote(POSTBACK), POSTBACK.replace("S", "%53")]
CUTS = [f"xml={quote_plus(POSTBACK[:n])}&{quote_plus(POSTBACK[n:])}=" for n in range(len(POSTBACK))]
forms = st.one_of(
    st.builds(
        "".join,
        st.lists(
            st.sampled_from(
                ["xml=", "XML=", "+xml+=", "&", ";", "a=1", "=", "--", "\n", "%zz", "{", *VALUES]
            ),
            max_size=6,
        ),
    ),
    st.sampled_from(CUTS),
)
types = st.sampled_from(
    [
        *("", "; charset=utf-8", "; charset=utf-16", "; charset=utf-8; charset=utf-16"),
        *("; charset*=utf-16''utf-16", "; boundary=x"),
    ]
).map(FORM["content-type"].partition(";")[0].__add__)
codings = st.sampled_from(["", "identity", "gzip", "deflate", "gzip, deflate"])


def reading(*given: object, **more: object) -> object:
    """What the wire reads, or why it reads nothing."""
    try:
        return read(*given, **more)  # type: ignore[arg-type]
    except ReadError as error:
        return str(error)


@given(forms, types | st.sampled_from(["text/xml", "multipart/form-data; boundary=x"]), codings)
@example(f"xml={VALUES[3]}", FORM["content-type"], "")
@example(f"xml={quote_plus(POSTBACK)}&xml={quote_plus(POSTBACK)}", FORM["content-type"], "")
@example(f"xml={quote_plus(POSTBACK)}", FORM["content-type"] + "; charset=utf-16", "")
def test_captured_signature_passes_for_one_reading(
    form: str, content_type: str, coding: str
) -> None:
    """What was signed is what is read, however the form is written."""
    check = SignedUrl("x-sig", PUBLIC, (KEY,))
    headers = signed_url(f"{PUBLIC}/sxml{POSTBACK}")
    headers |= {"content-type": content_type, "content-encoding": coding}
    if check.passes(Posted("/s", b"", headers, form.encode()), NOW):
        found = reading(form.encode(), content_type, content_encoding=coding)
        signed = quote_plus(POSTBACK).encode()
        as_signed = (reading(b"xml=" + signed), reading(b"a=1", FORM["content-type"]))
        assert found in as_signed


@given(st.text(max_size=3), st.integers(4080, 4100), st.text(max_size=3))
def test_long_form_is_decoded_as_a_whole(first: str, length: int, last: str) -> None:
    """Though it is taken apart, no character is: each is as it was encoded."""
    check, value = SignedUrl("x-sig", PUBLIC, (KEY,)), f"{first}{'a' * length}é{last}"
    headers = FORM | signed_url(f"{PUBLIC}/sa{value}")
    for encode in (quote, quote_plus):
        assert check.passes(Posted("/s", b"", headers, f"a={encode(value)}".encode()), NOW)


def test_large_form_takes_little_memory() -> None:
    """A few times its size, however much of it is encoded."""
    check, body = SignedUrl("x-sig", PUBLIC, (KEY,)), b"a=" + b"%41" * 300_000
    tracemalloc.start()
    try:
        assert check.passes(
            Posted("/s", b"", FORM | signed_url(f"{PUBLIC}/sa{'A' * 300_000}"), body), NOW
        )
        assert tracemalloc.get_traced_memory()[1] < 8 * len(body)
    finally:
        tracemalloc.stop()


def test_forms_of_usual_encoders_pass() -> None:
    """With other fields before the XML, and spaces as a plus sign or not."""
    check = SignedUrl("x-sig", PUBLIC, (KEY,))
    headers = FORM | signed_url(f"{PUBLIC}/sa1 é/xml{POSTBACK}")
    for encode in (quote, quote_plus, partial(quote, safe="!'()*~")):
        body = f"xml={encode(POSTBACK)}&a={encode('1 é/')}".encode()
        assert check.passes(Posted("/s", b"", headers, body), NOW)


@pytest.mark.parametrize("coding", ["deflate", "gzip", "x, deflate"])
def test_form_that_says_it_is_compressed_is_refused(coding: str) -> None:
    """No signature covers that header, and some compressed bytes are those of a form."""
    check = SignedUrl("x-sig", PUBLIC, (KEY,))
    headers = FORM | signed_url(f"{PUBLIC}/sxml<P>") | {"content-encoding": coding}
    assert not check.passes(Posted("/s", b"", headers, b"xml=%3CP%3E"), NOW)


def test_what_needs_no_body_is_known_before_it_is_read() -> None:
    """So is a signature that is missing, too short or too old; one that may be right is not."""
    rules = Rules(
        (
            Rule(
                "hmac",
                (
                    Addresses(networks_of(["192.0.2.1"])),
                    SignedBody("x", "sha256", "hex", "", (KEY,)),
                ),
            ),
            Rule("webhook", (StandardWebhooks((KEY,)),)),
        )
    )
    known = networks_of(["192.0.2.1"])[0][0]
    early = partial(rules.judge, at=NOW, is_read=False)
    assert early(posted()).failed == ("addresses", "hmac", "standard-webhooks")
    assert early(posted(address=known)).failed == ("hmac", "standard-webhooks")
    assert early(posted(address=known, headers={"x": "0" * 64})).failed == ()
    assert early(webhook(KEY, "a", NOW)).failed == ()
    assert early(webhook(KEY, "a", NOW - 2 * TOLERANCE)).sender == UNVERIFIED


@pytest.mark.parametrize("name", ["My Rule", "", "unverified", "accepted", "response", "a" * 65])
def test_rule_has_a_name_that_can_be_recorded(name: str) -> None:
    """It is the sender of each event that passes: one that is refused there would refuse them all."""
    with pytest.raises(ValueError, match=r"name must be lower-case letters, digits, - and _"):
        Rule(name, (InPath((b"a",)),))


def test_rule_requires_each_of_its_checks() -> None:
    """Of several rules one is enough, and the first that passes gives its name."""
    here = networks_of(["192.0.2.1"])
    both = Rule("both", (Addresses(here), InPath((b"a",))))
    rules = Rules((both, Rule("token", (InPath((b"b",)),))))
    known = here[0][0]
    assert rules.judge(posted(rest="a", address=known), NOW).sender == "both"
    assert rules.judge(posted(rest="a"), NOW).sender == UNVERIFIED
    assert rules.judge(posted(rest="b"), NOW).sender == "token"


def test_secrets_are_not_shown() -> None:
    """Whoever prints the rules, or a request, learns none."""
    rules = Rules((Rule("path", (InPath((KEY,)), Basic((KEY,)))),), response=(KEY,))
    request = posted(KEY, {"x": KEY.decode()}, rest=KEY.decode())
    assert KEY.decode() not in repr(rules) + repr(request)


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "a b", "é", "livez", "-", "a" * 101, "a?b"])
def test_source_can_stand_in_a_path(name: str) -> None:
    """Another name is refused."""
    with pytest.raises(ValueError, match="a source must be"):
        require_source(name)
