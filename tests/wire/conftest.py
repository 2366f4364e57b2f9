"""What the tests of the wire share."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from postledger.errors import ReadError
from postledger.wire import Limits, Reading, read

Attempt = Callable[[bytes, str | None], Reading]


@pytest.fixture(scope="session")
def attempt() -> Attempt:
    """Read a body that may be unreadable: its members, or the one error in their place."""

    def attempt(body: bytes, content_type: str | None) -> Reading:
        try:
            members = read(body, content_type, Limits(depth=16))
        except ReadError as error:
            members = (error,)
        assert members
        reasons = [str(member) for member in members if isinstance(member, ReadError)]
        assert all(reason.isprintable() and reason for reason in reasons)
        return members

    return attempt
