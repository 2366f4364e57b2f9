"""Signatures of Standard Webhooks (version 1.0.0): HMAC-SHA256 over id, time and bytes."""

from __future__ import annotations

import binascii
import hmac
import os
from base64 import b64decode, b64encode
from collections.abc import Iterable
from pathlib import Path

from postledger.errors import PostledgerError

PREFIX = "whsec_"
"""What a secret begins with; base64 of its bytes follows."""

LEAST, MOST = 24, 64
"""How many bytes a secret may have."""


def secret_of(given: str) -> bytes:
    """The bytes of a secret: ``whsec_…``, or where it stands: ``env:NAME`` or ``file:PATH``.

    Raises ``PostledgerError``; no message shows the secret.

    >>> secret_of("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")[:2].hex()
    '31f2'
    """
    where, _, name = given.partition(":")
    if where == "env" and name:
        text = os.environ.get(name)
        if text is None:
            raise PostledgerError(f"the environment variable {name} is missing: no secret")
    elif where == "file" and name:
        try:
            text = Path(name).read_text("utf-8")
        except (OSError, UnicodeDecodeError) as error:
            said = getattr(error, "strerror", None) or "not a text"
            raise PostledgerError(f"{name}: the secret can't be read: {said}") from None
    else:
        given, text = "the secret", given
    return _decoded(given, text.strip())


def _decoded(where: str, text: str) -> bytes:
    try:
        encoded = text.removeprefix(PREFIX)
        secret = b64decode(encoded + "=" * (-len(encoded) % 4), validate=True)
    except (binascii.Error, ValueError):
        secret = b""
    if not text.startswith(PREFIX) or not LEAST <= len(secret) <= MOST:
        # guard: no message shows a secret
        raise PostledgerError(
            f"{where}: expected {PREFIX} and base64 of {LEAST} to {MOST} bytes; another text was given"
        )
    return secret


def headers_of(secrets: Iterable[bytes], key: str, at: int, body: bytes) -> dict[str, str]:
    """The headers of a message: its key, the time of the attempt, and a signature by each secret.

    ``at`` is in whole seconds since 1970. While a secret is replaced, the old and the new one sign.

    >>> headers_of([b"0" * 24], "a1", 1674087231, b"{}")["webhook-signature"][:9]
    'v1,...'
    """
    signed = f"{key}.{at}.".encode() + body
    made = [b64encode(hmac.digest(secret, signed, "sha256")).decode() for secret in secrets]
    headers = {"webhook-id": key, "webhook-timestamp": str(at)}
    if made:
        headers["webhook-signature"] = " ".join(f"v1,{one}" for one in made)
    return headers
