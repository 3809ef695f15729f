"""A listener's certificate, and its renewal without a restart.

Rule: a certificate that cannot be used never replaces one that can; that is told, and told again when all is well. Used by the event
loops of the admin listener and of the media workers.
"""

import contextlib
import ssl
from collections.abc import Callable

from channeld.base.errors import ConfigError
from channeld.base.tls import TlsSpec
from channeld.telemetry.log import get

FOLLOW_S = 5.0

Tell = Callable[[str | None], None]
"""Takes why the files cannot be used, None when they are in use."""

_log = get("api.tls")
_Stamp = tuple[tuple[int, int, int], ...]
_GONE = "a file is not there"


class Certificate:
    """A server context whose certificate follows its files; new handshakes use the new one, open connections go on."""

    def __init__(self, files: TlsSpec, setting: str, tell: Tell = lambda _: None) -> None:
        """`setting` is the key of the configuration. Raises ConfigError when the files cannot be used."""
        self._files, self._setting, self._tell = files, setting, tell
        self._loaded: _Stamp | None = self._stamp()
        self._seen = self._stamp()
        self.context = _server_context()
        try:
            _load(self.context, files)
        except (OSError, ValueError) as error:
            raise ConfigError(f"{setting}: {files.cert} and {files.key} cannot be used: {error}", key=setting) from None

    def change(self, files: TlsSpec) -> None:
        """Follow other files from now on."""
        if files != self._files:
            self._files, self._loaded = files, None
            self.follow_files()

    def follow_files(self) -> bool:
        """Load the files again if they changed; True when the new certificate is in use."""
        stamp, before = self._stamp(), self._seen
        self._seen = stamp
        if stamp == self._loaded:
            if before != stamp:
                self._tell(None)  # they are again what is in use
            return False
        if not stamp:
            # Between the two renames of a renewal one may be missing for a moment: only what stays so is told.
            if not before:
                self._refuse(_GONE)
            return False
        return self._take(stamp, is_new=stamp != before)

    def _take(self, stamp: _Stamp, *, is_new: bool) -> bool:
        try:
            # On trial first: OpenSSL drops the key it has when a certificate does not fit it (SSL_CTX_use_certificate(3)),
            # as between the two renames of a renewal.
            _load(_server_context(), self._files)
            _load(self.context, self._files)
        except (OSError, ValueError) as error:
            if not is_new:
                self._refuse(str(error))  # it stood so when they were looked at before, so no renewal is under way
            return False
        self._loaded = stamp
        _log.info("certificate_renewed", setting=self._setting, cert=str(self._files.cert))
        self._tell(None)
        return True

    def _refuse(self, error: str) -> None:
        self._tell(f"{self._files.cert} and {self._files.key} cannot be used ({error}); the certificate before them stays in use")

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
