"""Knowing one of our own listeners by its certificate, whatever name that stands for.

Rule: only the certificate itself is trusted, the first of its file, never who signed it, nor anybody whom the system trusts: what is
asked holds a secret. No state.
"""

import re
import ssl
from collections.abc import Iterable
from pathlib import Path

_CERTIFICATE = re.compile(r"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)


def own_certificate(path: Path) -> str:
    """The listener's own certificate in a chain file, as PEM. Raises OSError, ValueError (ssl.SSLError is an OSError)."""
    found = _CERTIFICATE.search(path.read_text(encoding="ascii"))
    if found is None:
        raise ValueError(f"{path} holds no certificate")
    trusting([found[0]])
    return found[0]


def trusting(certificates: Iterable[str]) -> ssl.SSLContext:
    """A client's context that takes these certificates (PEM) and no other. Raises ssl.SSLError."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    for certificate in certificates:
        context.load_verify_locations(cadata=certificate)
    return context
