"""How long an entry will air that nobody has prepared or wanted yet: as long as the plan of its conforming says.

Rule: waits for a disk and a child, so never on the control loop.
"""

from dataclasses import replace

from channeld.base.errors import ChannelError
from channeld.channel.clips import request_of
from channeld.media.facts import choose_audio
from channeld.media.plan import make_plan
from channeld.media.prepare import check
from channeld.media.profile import Profile
from channeld.playlist.model import Entry


def foreseen_length_s(profile: Profile, entry: Entry) -> float | None:
    """Seconds; None for a URL, and where the media is refused or cannot be looked at: whoever prepares it will say why."""
    request = None if entry.path is None or entry.fault is not None else request_of(profile, entry)
    if request is None:
        return None
    try:
        request = replace(request, facts=check(request, whole_s=0.0))
    except (ChannelError, OSError):
        return None
    facts = request.facts
    if facts is None:
        return None
    plan = make_plan(facts, choose_audio(facts, profile.audio_language), request.trim, profile.fps)
    return profile.fps.seconds(plan.frames)
