"""What a listener needs for TLS."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class TlsSpec:
    """Certificate chain and key, both PEM files."""

    cert: Path
    key: Path
