"""What the tests of relay profiles share."""

from typing import Any

from channeld.relay.profile import RelayProfile

COPY = "-i {input_url} -c copy -f mpegts {output_path}"


def profile(args: str = COPY, **fields: Any) -> RelayProfile:
    """A profile that is right but for what is given."""
    return RelayProfile(**{"id": "mine", "name": "Mine", "ffmpeg_args": args, **fields})


def before(options: str) -> str:
    """Arguments that are right but for some options of the input."""
    return f"{options} {COPY}"


def after(options: str) -> str:
    """Arguments that are right but for some options behind the input."""
    return f"-i {{input_url}} {options} -f mpegts {{output_path}}"
