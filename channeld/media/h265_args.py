"""How x265 is told to make the house format: every clip of a profile with the same VPS, SPS and PPS, whatever its source and this machine.

Rule: whatever could reach a parameter set is said here, as x265 takes what is not said from the source, the threads it gets, or the bit
rate it sees. Pure.
"""

from typing import Any

from channeld.media.profile import COMPOSITION_DELAY, DECODER_BUFFER_S, PEAK_RATIO, Profile


def x265_params(profile: Profile, *, is_live: bool = False) -> str:
    """FFmpeg's `-x265-params`."""
    gop = profile.gop_frames
    x265: dict[str, Any] = {
        "keyint": gop, "min-keyint": gop, "scenecut": 0, "open-gop": 0, "bframes": 3, "b-pyramid": 0,
        "fps": f"{profile.fps.num}/{profile.fps.den}", "level-idc": profile.level, "high-tier": 0,
        # In front of every key frame, and nothing beside them: neither words about the encoder nor a decoder model.
        "repeat-headers": 1, "info": 0, "hrd": 0, "aud": 0,
        # These write into the PPS what was learned from the pictures.
        "opt-qp-pps": 0, "opt-ref-list-length-pps": 0,
        # x265 puts it into the PPS, and leaves it off by itself where it gets one thread or a low picture.
        "wpp": 0,
        "log-level": "error",
    }  # fmt: skip
    if is_live:  # not told in the parameter sets
        x265 |= {"rc-lookahead": 6}
    assert COMPOSITION_DELAY == 1  # what b-pyramid=0 gives
    return ":".join(f"{key}={value}" for key, value in x265.items())


def h265_options(profile: Profile, *, is_live: bool = False) -> dict[str, Any]:
    """FFmpeg's options of a picture in H.265. `tune` is x264's and says nothing here."""
    return {
        "c:v": "libx265",
        "preset": profile.preset,
        "profile:v": "main",
        "x265-params": x265_params(profile, is_live=is_live),
        "b:v": profile.video_bitrate,
        "maxrate": round(profile.video_bitrate * PEAK_RATIO),
        "bufsize": round(profile.video_bitrate * DECODER_BUFFER_S),
        "fps_mode": "passthrough",
        "color_range": "tv",
        "colorspace": "bt709",
        "color_primaries": "bt709",
        "color_trc": "bt709",
        "chroma_sample_location": "left",
        "bsf:v": "hevc_metadata=chroma_sample_loc_type=0",
    }
