"""The console: a web page for people who ask what became of a message."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from postledger.console.users import User, Users, hashed, load_users

if TYPE_CHECKING:
    from postledger.console.console import Console as app  # noqa: N813 (called like a function)

__all__ = ["User", "Users", "app", "hashed", "load_users"]


def __getattr__(name: str) -> Any:
    # Who only makes users has none of the packages that a server needs.
    if name == "app":
        from postledger.console.console import Console

        return Console
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
