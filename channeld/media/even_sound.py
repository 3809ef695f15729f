"""Sound that changes its sample rate or its channels midway, decoded beforehand into one that does not.

Rule: FFmpeg begins its filters anew at each such change, so nothing that counts samples may stand among them here; every sample keeps its
own time, and what is missing between them is filled when the clip is conformed. The file has no name, and goes with its descriptor.
Blocking.
"""

import contextlib
import os
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from channeld.base.errors import ChildExited, ChildKilled, PrepareError
from channeld.media import child
from channeld.media.ffmpeg_args import Voice, even_args
from channeld.media.tools import Tools


@contextlib.contextmanager
def even(voice: Voice, length_s: float, folder: Path, tools: Tools, *, stall_s: float, should_stop: child.Stop) -> Iterator[Voice]:
    """The same sound from the clip's begin on, in a file of `folder`, 23 MB a minute. Raises PrepareError; OSError when the disk does."""
    with tempfile.TemporaryFile(dir=folder) as file:
        argv = even_args(voice, length_s, tools)
        try:
            with contextlib.closing(child.stream(argv, stall_s=stall_s, should_stop=should_stop)) as chunks:
                for chunk in chunks:
                    file.write(chunk)
        except ChildKilled:
            raise
        except ChildExited as error:
            raise PrepareError(f"its sound could not be decoded: {error.stderr_tail.splitlines()[-1:]}") from error
        file.flush()
        path = Path(f"/proc/{os.getpid()}/fd/{file.fileno()}")
        yield Voice(path, 0, replace(voice.plan, seek_s=0.0, origin_s=0.0, jump_s=None))
