"""The admin listener's certificate, and its renewal without a restart.

Rule: a certificate that cannot be used never replaces one that can. Used by the admin event loop's thread.
"""

import contextlib
import ssl

from channeld.base.errors import ConfigError
from channeld.config_values import TlsSpec
from channeld.telemetry.log import get

_log = get("api.tls")
_Stamp = tuple[tuple[int, int, int], ...]


class Certificate:
    """A server context whose certificate follows its files; new handshakes use the new one, open connections go on."""

    def __init__(self, files: TlsSpec) -> None:
        """Raises ConfigError when the files cannot be used."""
        self._files = files
        self._loaded = self._refused = self._stamp()
        self.context = _server_context()
        try:
            _load(self.context, files)
        except (OSError, ValueError) as error:
            raise ConfigError(f"admin.tls: {files.cert} and {files.key} cannot be used: {error}", key="admin.tls") from None

    def follow_files(self) -> bool:
        """Load the files again if they changed; True when the new certificate is in use."""
        stamp = self._stamp()
        if stamp == self._loaded or not stamp:
            return False
        try:
            # On trial first: OpenSSL drops the key it has when a certificate does not fit it (SSL_CTX_use_certificate(3)),
            # as between the two renames of a renewal.
            _load(_server_context(), self._files)
            _load(self.context, self._files)
        except (OSError, ValueError) as error:
            if stamp != self._refused:
                _log.warning("certificate_refused", cert=str(self._files.cert), error=str(error))
            self._refused = stamp
            return False
        self._loaded = stamp
        _log.info("certificate_renewed", cert=str(self._files.cert))
        return True

    def _stamp(self) -> _Stamp:
        """What tells one state of both files from another; empty while one is missing."""
        with contextlib.suppress(OSError):
            states = (self._files.cert.stat(), self._files.key.stat())
            return tuple((state.st_mtime_ns, state.st_ino, state.st_size) for state in states)
        return ()


def _server_context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


def _load(context: ssl.SSLContext, files: TlsSpec) -> None:
    """Raises OSError (ssl.SSLError is one) or ValueError."""
    # A password, even a wrong one, or OpenSSL would ask for it on the terminal.
    context.load_cert_chain(files.cert, files.key, password=lambda: b"-")
