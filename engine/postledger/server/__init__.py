"""The service around a ledger: who may post, the receiver, how it is run, and what is sent on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from postledger.server.app import Receiver as receiver  # noqa: N813 (called like a function)

__all__ = ["receiver"]


def __getattr__(name: str) -> Any:
    # Who forwards, or reads metrics, has none of the packages that a server needs.
    if name == "receiver":
        from postledger.server.app import Receiver

        return Receiver
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
