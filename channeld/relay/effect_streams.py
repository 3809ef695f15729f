"""Which picture and which sound `-map` chooses, as FFmpeg names one stream each. Pure."""

import re

_MAP = re.compile(
    r"(?P<less>-?)0(?::(?P<program>p:[0-9]{1,5}))?(?::(?P<medium>[vVasd]))?(?::(?P<number>[0-9]{1,3}))?(?P<language>:m:language:[a-z]{2,3})?\??",
    re.ASCII,
)


def chosen(value: str) -> tuple[dict[str, str], str]:
    """By medium, v and a, the stream that is named, and why there is none."""
    found = _MAP.fullmatch(value)
    medium = found["medium"] if found is not None else None
    if found is None or found["less"]:
        return {}, "one picture and one sound air, and nothing beside them: nothing has to be left out"
    if medium in ("s", "d"):
        return {}, "one picture and one sound air, and nothing beside them"
    if medium is None and found["number"] is not None:
        return {}, "a bare number may be picture or sound: write 0:v:N or 0:a:N"
    if medium is None and found["program"] is None and found["language"] is None:
        return {}, "" if value.startswith("0") and len(value) <= 2 else "write 0:v:N or 0:a:N"
    media = ("v", "a") if medium is None else (medium.lower(),)
    return {each: _stream(found, medium or each) for each in media}, ""


def _stream(found: re.Match[str], medium: str) -> str:
    """FFmpeg takes no number behind a language: of several that speak it all are sent, and the first airs."""
    program = f"{found['program']}:" if found["program"] else ""
    number = "" if found["language"] else f":{found['number'] or 0}"
    return f"{program}{medium}{number}{found['language'] or ''}"
