"""Secrets, and what is signed with them by Standard Webhooks (version 1.0.0).

No message shows a secret: only where it should stand.
"""

from __future__ import annotations

import hmac
import os
import re
from base64 import b64decode, b64encode
from collections.abc import Iterable
from pathlib import Path

from postledger.errors import PostledgerError

PREFIX = "whsec_"
"""What a secret begins with; base64 of its bytes follows."""

LEAST, MOST = 24, 64
"""How many bytes a secret may have that signs what is sent."""

_PLACE = re.compile("(env|file):(.*)", re.DOTALL)


def read_secret(given: str, folder: Path = Path()) -> bytes:
    """A secret in UTF-8: the text itself, or what stands in ``env:NAME`` or ``file:PATH``.

    A path begins in ``folder``; the end of the file's last line is not part of the secret. Raises
    ``PostledgerError`` ("`place`: problem; what to do").

    >>> read_secret("a long random text")
    b'a long random text'
    """
    place = _PLACE.fullmatch(given)
    if place and not place[2]:
        raise PostledgerError(f"{given} names nothing; write env:NAME, file:PATH or the secret")
    if place and place[1] == "file":
        where, secret = f"{given}: the file", _bytes_of(given, folder / place[2])
    elif place:
        where, text = f"{given}: the variable", os.environ.get(place[2])
        if text is None:
            raise PostledgerError(f"{where} is missing; set it")
        secret = text.encode(errors="surrogateescape")
    else:
        where, secret = "the secret", given.encode(errors="surrogateescape")
    if not secret:
        raise PostledgerError(f"{where} is empty; put the secret there")
    try:
        secret.decode()
    except UnicodeDecodeError:
        raise PostledgerError(f"{where} is not UTF-8; a secret is text") from None
    return secret


def _bytes_of(given: str, path: Path) -> bytes:
    try:
        return path.read_bytes().rstrip(b"\r\n")
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "not a path"
        raise PostledgerError(f"{given}: can't be read: {reason}; check the path") from None


def webhook_key(secret: bytes) -> bytes:
    """The key of a secret as Standard Webhooks writes it; empty where it isn't base64.

    >>> webhook_key(b"whsec_c2lnbmluZy1rM3k")
    b'signing-k3y'
    """
    encoded = secret.strip().removeprefix(PREFIX.encode()).rstrip(b"=")
    try:
        return b64decode(encoded + b"=" * (-len(encoded) % 4), validate=True)
    except ValueError:
        return b""


def secret_of(given: str) -> bytes:
    """The key by which messages are signed: ``whsec_…``, ``env:NAME`` or ``file:PATH``.

    Raises ``PostledgerError``; no message shows the secret.

    >>> secret_of("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")[:2].hex()
    '31f2'
    """
    secret = read_secret(given)
    key = webhook_key(secret)
    # Others may sign by any key; one of ours is as the specification has it.
    if not secret.strip().startswith(PREFIX.encode()) or not LEAST <= len(key) <= MOST:
        where = given if _PLACE.fullmatch(given) else "the secret"
        # guard: no message shows a secret
        raise PostledgerError(
            f"{where}: expected {PREFIX} and base64 of {LEAST} to {MOST} bytes; another text was given"
        )
    return key


def signature(secret: bytes, key: str, at: str, body: bytes) -> bytes:
    """The HMAC-SHA256 over a message's key, the time as it is written, and its bytes.

    >>> signature(b"0" * 24, "a1", "1674087231", b"{}").hex()[:8]
    '4691925b'
    """
    return hmac.digest(secret, f"{key}.{at}.".encode("latin-1") + body, "sha256")


def headers_of(secrets: Iterable[bytes], key: str, at: int, body: bytes) -> dict[str, str]:
    """The headers of a message: its key, the time of the attempt, and a signature by each secret.

    ``at`` is in whole seconds since 1970. While a secret is replaced, the old and the new one sign.

    >>> headers_of([b"0" * 24], "a1", 1674087231, b"{}")["webhook-signature"][:9]
    'v1,...'
    """
    made = [b64encode(signature(one, key, str(at), body)).decode() for one in secrets]
    headers = {"webhook-id": key, "webhook-timestamp": str(at)}
    if made:
        headers["webhook-signature"] = " ".join(f"v1,{one}" for one in made)
    return headers
