"""Sound that changes its sample rate or its channels midway, decoded beforehand into one that does not.

Rule: FFmpeg begins its filters anew at each such change, so nothing that counts samples may stand among them here; every sample keeps its
own time, and what is missing between them is filled when the clip is conformed. The file has no name, and goes with its descriptor.
Blocking.
"""

import contextlib
import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO

from channeld.base.errors import ChildExited, ChildKilled, PrepareError
from channeld.media import child
from channeld.media.ffmpeg_args import Voice, even_args
from channeld.media.job import last_words
from channeld.media.tools import Tools
from channeld.media.verdict import DecodeLog


@dataclass(frozen=True, slots=True)
class EvenSound:
    """Where it is, and what FFmpeg told while it decoded the file's own."""

    voice: Voice
    log: DecodeLog


@contextlib.contextmanager
def even(
    voice: Voice, picture: int | None, length_s: float, folder: Path, tools: Tools, *, stall_s: float, should_stop: child.Stop
) -> Iterator[EvenSound]:
    """The same sound from the clip's begin on, in a file of `folder`, 23 MB a minute. `picture`: the track beside which it airs.

    Raises PrepareError; OSError, SpawnError and ChildStalled when disk or machine refuse; ChildStopped.
    """
    # Where a clock jumps, both tracks tell by how much: whoever reads one alone comes to another time.
    argv = even_args(voice, length_s, tools, followed=picture if voice.plan.jump_s is not None else None)
    with tempfile.TemporaryFile(dir=folder) as file:
        try:
            log = child.twice(lambda: _decode(argv, file, stall_s, should_stop))
        except ChildKilled as error:
            raise PrepareError(f"FFmpeg was ended by signal {-error.status}, twice") from error
        if log.machine_failure is not None:
            raise log.machine_failure
        path = Path(f"/proc/{os.getpid()}/fd/{file.fileno()}")
        yield EvenSound(Voice(path, 0, replace(voice.plan, seek_s=0.0, origin_s=0.0, jump_s=None, is_known_late=False)), log)


def _decode(argv: list[str], file: BinaryIO, stall_s: float, should_stop: child.Stop) -> DecodeLog:
    log = DecodeLog(range(1))
    file.seek(0)
    file.truncate()
    try:
        with contextlib.closing(child.stream(argv, on_line=log.feed, stall_s=stall_s, should_stop=should_stop)) as chunks:
            for chunk in chunks:
                file.write(chunk)
    except ChildKilled:
        raise
    except ChildExited as error:
        if log.machine_failure is not None:
            raise log.machine_failure from error
        raise PrepareError(f"its sound could not be decoded: {last_words(error)}") from error
    file.flush()
    return log
