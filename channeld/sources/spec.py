"""A live source as control tells it to the process that takes it in, and what that process tells of it.

Rule: plain values on the wire; a URL may hold a password and is in no repr. Immutable.
"""

from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any

from channeld.base.units import FrameRate
from channeld.media.picture_rules import NOT_LOOKED_AT, PictureRules
from channeld.media.profile import Profile
from channeld.media.reference import Reference
from channeld.media.treatment import NO_TREATMENT, Treatment
from channeld.ts.nal import VideoCodec

SWITCH_S = 0.13
"""What a switch takes at most, from the loss told to the slate seen: so much before its grace is over a silent source is told as lost."""
UNEVEN_S = 0.4
"""What comes of a source that is well may be so far apart."""


def patience_s(loss_grace_s: float) -> float:
    """How long a source may be silent before it is told as lost, so that what follows airs when the grace is over."""
    return max(min(loss_grace_s, UNEVEN_S), loss_grace_s - SWITCH_S)


class SourceState(StrEnum):
    """How a source stands."""

    CONNECTING = "connecting"
    LIVE = "live"
    LOST = "lost"


class Reason(StrEnum):
    """Why a source is lost; each has a slate of its own."""

    CANNOT_CONNECT = "cannot_connect"
    TIMED_OUT = "timed_out"
    AUTHENTICATION_FAILED = "authentication_failed"
    UNSUPPORTED_FORMAT = "unsupported_format"
    ENDED = "ended"
    FROZEN = "frozen"
    BLACK = "black"
    SILENT = "silent"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class SourceSpec:
    """One source. Seconds: `timeout_s` until an upstream that says nothing is given up, `loss_grace_s` until its silence is told.

    `mode`: `transcode`, `copy`, or `auto`, which copies what is in the house format already. `folder`: where its newest minute is kept.
    `picture`: when what it sends is not worth airing. `allows_private`: its host may be of this machine or of a private network.
    `treatment`: what its relay's profile has done with it.
    """

    name: str
    url: str = field(repr=False)
    folder: str
    profile: Profile
    transport: str = "auto"
    mode: str = "auto"
    timeout_s: float = 10.0
    loss_grace_s: float = 2.0
    picture: PictureRules = NOT_LOOKED_AT
    allows_private: bool = True
    treatment: Treatment = NO_TREATMENT

    def message(self, reference: Reference) -> dict[str, Any]:
        """As values of an `open` message."""
        profile = self.profile
        shape = {name: getattr(profile, name) for name in _PROFILE_FIELDS} | {"fps": [profile.fps.num, profile.fps.den]}
        plain = {name: getattr(self, name) for name in _PLAIN_FIELDS}
        if profile.codec is not VideoCodec.H264:  # else unsaid: what is told of a source names the process that takes it in
            shape["codec"] = profile.codec.value
        parts = {"picture": asdict(self.picture), "treatment": self.treatment.message()}
        return {**plain, **parts, "profile": shape, "reference": reference.to_json().decode()}

    @classmethod
    def from_message(cls, values: dict[str, Any]) -> "SourceSpec":
        """Read it again. Raises ValueError, KeyError or TypeError for what is none."""
        shape = dict(values["profile"])
        codec = VideoCodec(shape.pop("codec", VideoCodec.H264))
        profile = Profile(fps=FrameRate(*shape.pop("fps")), codec=codec, **shape)
        picture, treatment = PictureRules(**values.get("picture", {})), Treatment.from_message(values.get("treatment", {}))
        return cls(profile=profile, picture=picture, treatment=treatment, **{name: values[name] for name in _PLAIN_FIELDS})


_PROFILE_FIELDS = ("name", "width", "height", "video_bitrate", "audio_bitrate", "gop_seconds", "loudness", "preset", "tune")
_PLAIN_FIELDS = ("name", "url", "folder", "transport", "mode", "timeout_s", "loss_grace_s", "allows_private")
