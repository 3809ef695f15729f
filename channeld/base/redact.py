"""The one redactor: every URL passes it before it is logged, served or stored."""

import re
from urllib.parse import parse_qsl, urlsplit, urlunsplit

MASK = "***"
# A run of letters that may be a scheme is looked at once, whatever stands in it: one start for each would be quadratic in a long line.
_URL = re.compile(r"(?<![a-z0-9+.-])([0-9+.-]*+)([a-z][a-z0-9+.-]*+://[^\s'\"<>|]+)", re.IGNORECASE)
_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*://", re.IGNORECASE)
_SECRET_NAME = re.compile(
    r"user(name)?|login|pass(word|wd)?|pwd?|(access_?)?token|auth|(api_?)?key|secret|sig(nature)?|session|sid", re.IGNORECASE
)
_PUBLISH_SCHEMES = ("rtmp", "rtmps", "rtmpt", "rtmpts", "srt")


def redact_url(url: str) -> str:
    """The URL without what could be secret: user information, query values, and the stream key of a publish URL.

    The last path part of an RTMP or SRT URL is a key unless its host is this machine.
    """
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
        port = f":{parts.port}" if parts.port is not None else ""
    except ValueError:
        return MASK
    netloc = f"[{host}]{port}" if ":" in host else f"{host}{port}"
    if parts.username is not None or parts.password is not None:
        netloc = f"{MASK}@{netloc}"
    path = parts.path
    local = host in ("127.0.0.1", "localhost", "::1")
    if parts.scheme.lower() in _PUBLISH_SCHEMES and not local and path.count("/") >= 2:
        path = path[: path.rindex("/") + 1] + MASK
    query = re.sub(r"=[^&]*", "=" + MASK, parts.query) if parts.query else ""
    return urlunsplit((parts.scheme, netloc, path, query, ""))


def has_credentials(url: str) -> bool:
    """User information stands in it, or a query whose name says that it is secret. What cannot be read counts as if."""
    try:
        parts = urlsplit(url)
        names = [name for name, _ in parse_qsl(parts.query, keep_blank_values=True)]
    except ValueError:
        return True
    return "@" in parts.netloc or any(_SECRET_NAME.fullmatch(name) for name in names)


def redact_source(text: str) -> str:
    """A playlist's locator: where it is a URL, all of it, also behind characters that would end one in free text."""
    return redact_url(text) if _SCHEME.match(text) else redact_text(text)


def redact_text(text: str) -> str:
    """Free text, such as a line of FFmpeg's, with every URL in it redacted."""
    return _URL.sub(lambda match: match[1] + redact_url(match[2]), text)
