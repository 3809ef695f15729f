"""The allow-list as tables of docs/relay-profiles.md, made from the code: `python tests/relay/relay_tables.py` writes them anew."""

import re
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent.parent
DOCUMENT = ROOT / "docs" / "relay-profiles.md"
_MARKED = re.compile(r"(<!-- table: (\w+) -->\n)(.*?)(<!-- end -->)", re.DOTALL)


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;")


def _code(text: str) -> str:
    return f"`{text}`".replace("|", "\\|") if text else ""


def _options(place: str, fate: str) -> str:
    from channeld.relay.effect_table import INPUT as READS
    from channeld.relay.effect_table import MIDDLE
    from channeld.relay.options import INPUT, OUTPUT, SPECIFIERS, Takes

    takes = {Takes.NOTHING: "nothing", Takes.CODEC: "a codec, see below", Takes.CHAIN: "a chain of filters, see below"}
    rows = ["| option | value | example | on air |", "|---|---|---|---|"]
    for option in (INPUT if place == "input" else OUTPUT).values():
        if option.fate.value == fate:
            names = ", ".join(f"`-{option.name}{SPECIFIERS[one]}`" for one in option.specifiers)
            value = takes.get(option.takes) or (option.value.told if option.value else "")
            only = f" ({option.protocol} only)" if option.protocol else ""
            effect = _effect((READS if place == "input" else MIDDLE)[option.name], option.name)
            rows.append(f"| {names}{only} | {_cell(value)} | {_code(option.example)} | {_cell(effect)} |")
    return "\n".join(rows)


def _effect(meaning: Any, name: str) -> str:
    """What an option acts on, or that it does not, and why."""
    from channeld.relay.effect_table import ENCODING, Does

    if meaning.does is Does.NOTHING:
        agreed = "any" if "*" in meaning.agreed else ", ".join(f"`{value}`" for value in sorted(meaning.agreed))
        return f"none: {meaning.told}" + (f" (so anyway: {agreed})" if agreed and agreed != "any" else "")
    by = [f"`{encoder}`" for encoder, options in ENCODING.items() if name in options and name not in ("preset", "tune")]
    return "; ".join([meaning.told or meaning.does.value, *([f"by {', '.join(by)}"] if by else [])])


def _filters() -> str:
    from channeld.relay.effect_table import CARRIERS, HARDWARE_FILTERS, TIMELESS
    from channeld.relay.filter_table import FILTERS

    rows = ["| filter | for | keys | example | on air |", "|---|---|---|---|---|"]
    for name, known in FILTERS.items():
        keys = "; ".join(f"`{key}`: {_cell(value.told)}" for key, value in known.keys.items())
        effect = (
            "where the hardware is there" if name in HARDWARE_FILTERS else "with filters of the hardware" if name in CARRIERS else "acts"
        )
        effect = f"none: {TIMELESS[name]}" if name in TIMELESS else effect
        rows.append(f"| `{name}` | {'video' if known.medium == 'v' else 'audio'} | {keys} | {_code(known.example)} | {effect} |")
    return "\n".join(rows)


def _codecs() -> str:
    from channeld.relay.options import DECODERS, ENCODERS, INPUT_FORMATS

    media = {"v": "video", "a": "audio", "s": "subtitles", "d": "data"}
    rows = ["| what | names |", "|---|---|"]
    rows += [f"| encoders, {media[kind]} | {', '.join(f'`{name}`' for name in names)} |" for kind, names in ENCODERS.items()]
    rows += [f"| decoders, {media[kind]} | {', '.join(f'`{name}`' for name in names)} |" for kind, names in DECODERS.items()]
    rows.append(f"| formats of the input | {', '.join(f'`{name}`' for name in INPUT_FORMATS.split())} |")
    return "\n".join(rows)


def _forbidden() -> str:
    from channeld.relay.forbidden import FORBIDDEN

    rows = ["| option | why not |", "|---|---|"]
    reasons: dict[str, list[str]] = {}
    for name, reason in FORBIDDEN.items():
        reasons.setdefault(reason.problem, []).append(f"`-{name}`")
    rows += [f"| {', '.join(names)} | {problem} |" for problem, names in reasons.items()]
    return "\n".join(rows)


def _defaults() -> str:
    from channeld.relay.defaults import SYSTEM_DEFAULTS

    rows = ["| id | name | does | `output_format` | `hardware_acceleration` |", "|---|---|---|---|---|"]
    rows += [
        f"| `{one.id}` | {one.name} | {one.description} | `{one.output_format}` | `{one.hardware_acceleration}` |"
        for one in SYSTEM_DEFAULTS
    ]
    return "\n".join(rows)


def _protocols() -> str:
    from channeld.relay.render import PROTOCOLS

    rows = ["| upstream | FFmpeg may open |", "|---|---|"]
    return "\n".join([*rows, *(f"| `{scheme}://` | {allowed.replace(',', ', ')} |" for scheme, allowed in PROTOCOLS.items())])


def tables() -> dict[str, str]:
    """Each table by its name."""
    return {
        "defaults": _defaults(),
        "input": _options("input", "kept"),
        "middle": _options("output", "kept"),
        "replaced_input": _options("input", "replaced"),
        "replaced": _options("output", "replaced"),
        "codecs": _codecs(),
        "filters": _filters(),
        "forbidden": _forbidden(),
        "protocols": _protocols(),
    }


def with_tables(text: str) -> str:
    """The document's text with the tables of the code."""
    made = tables()
    return _MARKED.sub(lambda match: f"{match[1]}{made[match[2]]}\n{match[4]}", text)


def shown(text: str) -> dict[str, str]:
    """The tables that a document shows."""
    return {match[2]: match[3].strip() for match in _MARKED.finditer(text)}


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    DOCUMENT.write_text(with_tables(DOCUMENT.read_text()))
