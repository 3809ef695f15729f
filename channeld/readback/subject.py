"""What is looked at, and what is told of it. Values."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from channeld.readback.judge import Verdict


@dataclass(frozen=True, slots=True)
class Subject:
    """One output's manifest. `kind` hls is our own origin: exact timestamps and a constant TARGETDURATION; rtmp is what a
    push's target makes of it. The URL may hold a secret. `trusted`: our own listener's certificate.
    """

    channel: str
    output: str
    kind: Literal["hls", "rtmp"]
    url: str = field(repr=False)
    target_s: float = 4.0
    trusted: Path | None = None

    @property
    def name(self) -> str:
        """Unique among all."""
        return f"{self.channel}/{self.output}"


@dataclass(frozen=True, slots=True)
class Reading:
    """What is known of an output after a look.

    Where its viewers are: the newest segment's media sequence, last timestamp (33 bits), and wall clock at its end, as far as
    the manifest tells. `segment_errors` and `discontinuities` count from when the output was first looked at.
    """

    subject: Subject
    verdict: Verdict | None
    seen_s: float
    age_s: float | None = None
    media_sequence: int | None = None
    end_pts: int | None = None
    end_wall_s: float | None = None
    segment_errors: int = 0
    discontinuities: int = 0


@dataclass(frozen=True, slots=True)
class WatchSettings:
    """`cpu_budget`: decoding's share of a core, for all channels together. `timeout_s`: of one request."""

    is_enabled: bool = True
    cpu_budget: float = 0.02
    timeout_s: float = 5.0
    patience_s: float = 20.0


OnReading = Callable[[Reading], None]
