"""Secrets that are made here and kept as digests.

Rule: a secret is 256 random bits and leaves this process once, to whoever asked for it; what is kept is its SHA-256. A slow hash would
guard what people choose; 256 random bits cannot be tried out, and a fast one lets every request be checked. Pure but for the randomness.
"""

import hashlib
import hmac
import secrets

_BYTES = 32
TOKEN_PREFIX = "chd_"  # so that scanners for leaked secrets, and people, know one when they see it


def new_token() -> str:
    """A token for a program or a person."""
    return TOKEN_PREFIX + secrets.token_urlsafe(_BYTES)


def new_secret() -> str:
    """What a cookie holds."""
    return secrets.token_urlsafe(_BYTES)


def digest_of(secret: str) -> str:
    """SHA-256 in hexadecimal. What is no text in UTF-8 has a digest too, that of nobody's secret."""
    return hashlib.sha256(secret.encode("utf-8", "surrogateescape")).hexdigest()


def derived(secret: str, purpose: str) -> str:
    """Another secret that only who knows this one can tell, so that it need not be kept (RFC 5869 with one purpose each)."""
    return hmac.new(secret.encode(), purpose.encode(), hashlib.sha256).hexdigest()


def is_same(left: str, right: str) -> bool:
    """In a time that does not tell where they differ."""
    return hmac.compare_digest(left.encode("utf-8", "surrogateescape"), right.encode("utf-8", "surrogateescape"))
