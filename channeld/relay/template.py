"""The text of `ffmpeg_args` as words: quotes taken off, nothing else, and the template variables that stand in them.

Rule: bounded before it is split; no shell ever sees it, so that ;, | and $ are letters like others. Pure.
"""

import re
import shlex
from collections.abc import Iterator

from channeld.relay.profile import MAX_ARGS
from channeld.relay.refusal import Kind, Refusal, shown

FIELD = "ffmpeg_args"
MAX_WORDS = 256
MAX_WORD = 1024
INPUT_URL = "{input_url}"
OUTPUT_PATH = "{output_path}"
VARIABLES = (INPUT_URL, OUTPUT_PATH, "{segment_duration}", "{max_segments}")
_BRACES = re.compile(r"\{[^{}]*\}|[{}]")


def split_words(text: str) -> list[str] | Refusal:
    """The words, or why there are none."""
    if len(text) > MAX_ARGS:
        return Refusal(Kind.TOO_LONG, FIELD, None, "", f"{len(text)} characters", f"give {MAX_ARGS} at most")
    try:
        words = shlex.split(text)
    except ValueError as error:
        what = str(error)[:1].lower() + str(error)[1:]
        return Refusal(Kind.UNREADABLE, FIELD, None, "", f"it cannot be split into arguments: {what}", "close each quotation mark")
    if len(words) > MAX_WORDS:
        return Refusal(Kind.TOO_LONG, FIELD, None, "", f"{len(words)} arguments", f"give {MAX_WORDS} at most")
    return words


def word_refusals(words: list[str]) -> Iterator[Refusal]:
    """Characters that cannot be in an argument, and variables that there are not."""
    for position, word in enumerate(words, 1):
        if len(word) > MAX_WORD:
            yield Refusal(Kind.TOO_LONG, FIELD, position, shown(word), f"{len(word)} characters", f"give {MAX_WORD} at most")
        elif not word.isprintable():
            problem, remedy = "it holds a character that cannot be shown", "write it without control characters"
            yield Refusal(Kind.BAD_CHARACTER, FIELD, position, shown(word), problem, remedy)
        elif unknown := [part for part in _BRACES.findall(word) if part not in VARIABLES]:
            problem, remedy = f"there is no variable {shown(unknown[0])}", f"the variables are {', '.join(VARIABLES)}"
            yield Refusal(Kind.UNKNOWN_VARIABLE, FIELD, position, shown(word), problem, remedy)
