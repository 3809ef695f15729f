"""Whether a source's host may be connected to at all, asked before each connection.

Rule: whoever writes the configuration may name any host; a list, or an import, may name public ones only, unless the configuration
allows private ones. A name is looked up here; FFmpeg looks it up again, so one whose addresses change in between is not caught. Blocking.
"""

import socket
from ipaddress import ip_address
from urllib.parse import urlsplit

from channeld.base.address import is_public


def private_fault(url: str) -> str | None:
    """Why this host is not connected to; None where it may be, or cannot be found, which FFmpeg tells better."""
    try:
        parts = urlsplit(url)
        found = socket.getaddrinfo(parts.hostname, parts.port or None, type=socket.SOCK_STREAM)
    except (OSError, ValueError, UnicodeError):
        return None
    for *_, address in found:
        host = str(address[0]).partition("%")[0]
        if not is_public(ip_address(host)):
            return f"its host has the private address {host} (url_allow.private is off)"
    return None
