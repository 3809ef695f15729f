"""The built-in filler: a calm dark card, silent; it needs no file, so it can always be made.

Rule: the first card of a profile sets the reference that all its clips must equal. Blocking; run by prepare jobs and at channel start.
"""

import threading

from channeld.media.cache import ClipCache, clip_key
from channeld.media.clip import PreparedClip
from channeld.media.ffmpeg_args import Sound, card_args
from channeld.media.job import Job, make_reference, run_job
from channeld.media.plan import Plan, Trim
from channeld.media.profile import Profile, profile_key
from channeld.media.reference import Reference
from channeld.media.tools import Tools, encoder_version

FILLER_S = 10.0

_making = threading.Lock()  # one reference per profile: two jobs at once would make it twice; held over a run of a second or two


def key_of_profile(profile: Profile, tools: Tools) -> str:
    """Folder of the profile's clips with this machine's encoder."""
    return profile_key(profile, encoder_version(tools, profile.codec))


def ensure_reference(cache: ClipCache, profile: Profile, tools: Tools) -> Reference:
    """The profile's reference, made with the plain card when there is none. Raises PrepareError, ProcessError, OSError."""
    folder = key_of_profile(profile, tools)
    with _making:
        found = cache.reference(folder)
        if found is None:
            _, found = make_reference(_card_job("", profile, tools), cache)
            cache.keep_reference(folder, found)
        return found


def ensure_card(cache: ClipCache, profile: Profile, title: str, tools: Tools) -> PreparedClip:
    """The built-in filler with a title on it. Raises like `ensure_reference`."""
    reference = ensure_reference(cache, profile, tools)
    job = _card_job(title, profile, tools)
    return cache.find(job.key) or run_job(job, cache, reference)


def _card_job(title: str, profile: Profile, tools: Tools) -> Job:
    frames = max(1, profile.fps.frames_in(FILLER_S) // profile.gop_frames) * profile.gop_frames
    plan = Plan(0.0, 0.0, frames, frames)
    folder = key_of_profile(profile, tools)
    argv = card_args(title, None, plan, profile, Sound(), tools)
    return Job(clip_key(f"card:{title}", folder, Trim()), profile, folder, argv, frames, {"source": "built-in card"})
