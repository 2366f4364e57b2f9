"""Addresses: what they say, and that no text of them shows a password."""

from __future__ import annotations

import pytest

from postledger.address import Address, hidden, is_address


def test_the_text_of_an_address_opens_the_ledger_again_without_its_password() -> None:
    """What is for the ledger stays in it; what is for the server goes there."""
    address = Address.parse(
        "postgres://me:s%40c@db/sms?sslmode=require&schema=a1&role=w&durability=off&sslpassword=x"
    )
    assert str(address) == (
        "postgresql://me@db/sms?sslmode=require&schema=a1&role=w&durability=off"
    )
    assert (address.schema, address.role, address.durable) == ("a1", "w", False)
    assert address.conninfo == "postgresql://me:s%40c@db/sms?sslmode=require&sslpassword=x"
    assert Address.parse(str(address)).shown == str(address)


def test_an_address_without_a_host_is_one() -> None:
    """libpq has places for it where nothing is named."""
    address = Address.parse("postgresql:///sms?schema=a")
    assert (address.conninfo, str(address)) == ("postgresql:///sms", "postgresql:///sms?schema=a")
    assert str(Address.parse("postgres://")) == "postgresql://"


@pytest.mark.parametrize("given", ["a+b", "a%2Bb", "%61%2bb"])
def test_a_plus_in_a_password_is_a_plus(given: str) -> None:
    """As libpq reads it, and not as a form does."""
    address = Address.parse(f"postgresql://me@db/sms?password={given}")
    assert address.conninfo.endswith("?password=a%2Bb")


@pytest.mark.parametrize(
    "given", ["postgresql://me:%73+c%25t@db/sms", "postgresql://me@db/sms?password=%73+c%25t"]
)
def test_a_password_is_hidden_in_whatever_form_it_is_cited(given: str) -> None:
    """As it is, as it was given, and as it goes to libpq."""
    address = Address.parse(given)
    cited = "s+c%t, %73+c%25t, s%2Bc%25t, " + address.conninfo
    told = address.without_secrets(cited)
    assert not any(one in told for one in ("s+c", "%73+c", "s%2Bc"))
    assert "c%" not in repr(address) + str(address)


@pytest.mark.parametrize(
    "given",
    [
        *("postgresql://me:pass word@[db/sms", "postgresql://me:pass word@db/sms#x"),
        *("postgresql:me:pass word", "postgresql://me:pass word@db/sms?schema=Pass"),
    ],
)
def test_what_is_no_address_is_refused_without_its_password(given: str) -> None:
    """The message says what was expected."""
    with pytest.raises(ValueError, match="must") as raised:
        Address.parse(given)
    assert "pass word" not in str(raised.value)


def test_passwords_of_mistyped_addresses_are_hidden_too() -> None:
    """Whatever they are taken for."""
    assert hidden("File 'postgrse://me:x/y@db/a?password=z&b' does not exist") == (
        "File 'postgrse://me:***@db/a?password=***&b' does not exist"
    )
    assert hidden("https://db.example.com:80/a and me@example.com") == (
        "https://db.example.com:80/a and me@example.com"
    )


def test_only_a_scheme_of_postgresql_makes_an_address() -> None:
    """A file may have any other name."""
    assert is_address("POSTGRES://db")
    assert not any(map(is_address, ("postgresql.db", "postgres-2026.db", "./postgresql:", "a:/b")))
