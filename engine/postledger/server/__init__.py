"""The service around a ledger: who may post, the receiver, how it is run, and what is sent on."""

import sys

PACKAGES = " ".join(
    (
        "httptools",
        "prometheus-client",
        "starlette",
        "uvicorn",
        *("uvloop",) * (sys.platform != "win32"),
    )
)
"""The packages of the extra ``server``, as pip takes them."""
