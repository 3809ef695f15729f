"""The walk over the words of `ffmpeg_args`, in FFmpeg's own order: options and `-i`, options and the output's name.

Rule: what FFmpeg takes as a value is taken as one here too; each word is refused once at most, and the walk goes on. Pure.
"""

import difflib
import re
from dataclasses import dataclass, field

from channeld.relay.filtergraph import Fault, read_chain
from channeld.relay.forbidden import FORBIDDEN
from channeld.relay.options import ALIASES, DECODERS, ENCODERS, INPUT, OUTPUT, SPECIFIERS, Fate, Option, Takes
from channeld.relay.refusal import Kind, Refusal, shown
from channeld.relay.template import FIELD, INPUT_URL, OUTPUT_PATH
from channeld.relay.values import OUTPUT_NAME

_HARDWARE_WORDS = re.compile("nvenc|cuvid|cuda|vaapi|qsv")
_PROTOCOL = re.compile(r"[a-z][a-z0-9+.-]*:", re.IGNORECASE | re.ASCII)
_SPECIFIER = re.compile(r"(s:)?([vasd])(?::[0-9]{1,2})?", re.ASCII)
_SHELL = frozenset({";", "&", "&&", "|", "||", ">", ">>", "<", "2>", "2>&1"})
_OPTION_REMEDY = "leave it out, or take one of docs/relay-profiles.md"


@dataclass(slots=True)
class Said:
    """What the words said so far."""

    input_options: list[str] = field(default_factory=list)
    middle: list[str] = field(default_factory=list)
    values: dict[str, str] = field(default_factory=dict)
    positions: dict[str, int] = field(default_factory=dict)
    encoders: list[tuple[str, str, int]] = field(default_factory=list)
    hardware: list[tuple[str, int]] = field(default_factory=list)
    has_input: bool = False
    has_output: bool = False
    is_codec_refused: bool = False


class Reader:
    """One walk."""

    def __init__(self, words: list[str], variables: dict[str, str]) -> None:
        self._words, self._variables = words, variables
        self._at = 0
        self._seen: set[tuple[bool, str]] = set()
        self._refused: set[int] = set()
        self.refusals: list[Refusal] = []
        self._said = Said()

    def refuse(self, refusal: Refusal) -> None:
        """Keep a refusal, unless its word has one."""
        if refusal.position is not None and refusal.position not in self._refused:
            self._refused.add(refusal.position)
            self.refusals.append(refusal)

    def read(self) -> Said:
        """Walk to the end."""
        while self._at < len(self._words):
            word = self._words[self._at]
            self._at += 1
            if word == "-i":
                self._read_input()
            elif word.startswith("-") and len(word) > 1:
                self._read_option(word)
            else:
                self._read_name(word)
        return self._said

    def _no(self, kind: Kind, problem: str, remedy: str, *, at: int | None = None, word: str | None = None) -> None:
        """Refuse the word that was taken last, or the one at the position given."""
        position = at or self._at
        self.refuse(Refusal(kind, FIELD, position, shown(self._words[position - 1] if word is None else word), problem, remedy))

    def _read_input(self) -> None:
        if self._at == len(self._words):
            return self._no(Kind.MISSING_VALUE, "-i is given nothing", f"write -i {INPUT_URL}")
        url = self._words[self._at]
        self._at += 1
        if self._said.has_input:
            return self._no(Kind.SECOND_INPUT, "a relay has one input", f"keep the one -i {INPUT_URL}")
        self._said.has_input = True
        if url != INPUT_URL:
            self._no(Kind.FOREIGN_INPUT, "the input is the relay's upstream and nothing else", f"write -i {INPUT_URL}")
        return None

    def _read_name(self, word: str) -> None:
        """A word that is no option and no option's value: for FFmpeg, the name of an output."""
        if INPUT_URL in word:
            self._no(Kind.MISPLACED_VARIABLE, f"{INPUT_URL} stands without -i", f"write -i {INPUT_URL}")
        elif word in _SHELL or word.rpartition("/")[2] == "ffmpeg":
            self._no(Kind.STRAY_ARGUMENT, "no shell reads this: it is arguments alone", "leave it out")
        elif self._said.has_output:
            self._no(Kind.SECOND_OUTPUT, "a relay has one output, which ends the arguments", f"end with the one {OUTPUT_PATH}")
        elif not word.startswith(OUTPUT_PATH) and not self._is_last_word():
            self._no(Kind.STRAY_ARGUMENT, "it belongs to no option", "leave it out, or write the option before it")
        else:
            self._read_output(word)

    def _is_last_word(self) -> bool:
        return self._at == len(self._words) and self._said.has_input

    def _read_output(self, word: str) -> None:
        self._said.has_output = True
        if not word.startswith(OUTPUT_PATH):
            kind = Kind.FORBIDDEN_PROTOCOL if _PROTOCOL.match(word) else Kind.FOREIGN_OUTPUT
            self._no(kind, "a relay's output is channeld's", f"write {OUTPUT_PATH}; pushes are outputs of the channel")
        elif not OUTPUT_NAME.accepts(word):
            self._no(Kind.OUTSIDE_SANDBOX, "it could leave the relay's folder", f"write {OUTPUT_PATH} or {OUTPUT_PATH}/ and a plain name")
        elif not self._said.has_input:
            self._no(Kind.MISPLACED_VARIABLE, "the output stands before the input", f"write -i {INPUT_URL} first")

    def _read_option(self, word: str) -> None:
        base, _, specifier = word[1:].partition(":")
        if base in ALIASES:
            base, _, implied = ALIASES[base].partition(":")
            specifier = f"{implied}:{specifier}" if implied and specifier else implied or specifier
        here, elsewhere = (OUTPUT, INPUT) if self._said.has_input else (INPUT, OUTPUT)
        option = here.get(base)
        if option is not None:
            return self._read_known(option, specifier, word)
        if base.startswith("/") or base in FORBIDDEN:
            self._forbid(base)
        elif base in elsewhere:
            place = "before -i" if elsewhere is INPUT else "after -i"
            self._no(Kind.MISPLACED_OPTION, f"-{base} is not for this place", f"write it {place}")
            self._skip_value(elsewhere[base].takes is not Takes.NOTHING)
        else:
            near = difflib.get_close_matches(base, here, 1, 0.8)
            self._no(Kind.UNKNOWN_OPTION, "the option is not allowed", f"perhaps -{near[0]}" if near else _OPTION_REMEDY)
            self._skip_value(True)
        return None

    def _forbid(self, base: str) -> None:
        if base.startswith("/"):
            self._no(Kind.FORBIDDEN_OPTION, "it has FFmpeg read its value from a file", "write the value itself")
            self._skip_value(True)
            return
        reason = FORBIDDEN[base]
        self._no(Kind.FORBIDDEN_OPTION, reason.problem, reason.remedy)
        self._skip_value(reason.has_value)

    def _skip_value(self, has_value: bool) -> None:
        """Leave out what is most likely the value of a refused option: it may be a secret, and one refusal is enough."""
        following = self._words[self._at] if self._at < len(self._words) else OUTPUT_PATH
        base = following[1:].partition(":")[0]
        is_option = following.startswith("-") and any(base in table for table in (INPUT, OUTPUT, ALIASES, FORBIDDEN, ("i",)))
        if has_value and not is_option and not following.startswith(OUTPUT_PATH):
            self._at += 1

    def _read_known(self, option: Option, specifier: str, word: str) -> None:
        position = self._at
        medium = self._medium(option, specifier)
        value = self._value(option, medium) if option.takes is not Takes.NOTHING else ""
        name = f"-{option.name}" + (f":{specifier}" if specifier else "")
        if (self._said.has_input, name) in self._seen and not option.may_repeat:
            self._no(Kind.REPEATED_OPTION, "the option is given twice", "keep one", at=position, word=word)
        self._seen.add((self._said.has_input, name))
        if medium is None:
            allowed = " or ".join(f"-{option.name}{SPECIFIERS[one]}" for one in option.specifiers)
            self._no(Kind.BAD_SPECIFIER, "the option is not for these streams", f"write {allowed}", at=position, word=word)
        if value is None or medium is None:
            self._said.is_codec_refused |= option.takes is Takes.CODEC and self._said.has_input
            return
        self._keep(option, name, value, position)

    def _keep(self, option: Option, name: str, value: str, position: int) -> None:
        if option.fate is Fate.REPLACED:
            self._said.values[option.name] = value
            self._said.positions[option.name] = position
            return
        kept = [name] if option.takes is Takes.NOTHING else [name, value]
        (self._said.middle if self._said.has_input else self._said.input_options).extend(kept)
        if option.takes is Takes.CODEC and self._said.has_input:
            self._said.encoders.append((name, value, self._at))
        elif option.takes is Takes.CHAIN:
            self._said.positions[name[1:9]] = position
        if _HARDWARE_WORDS.search(f"{name} {value}"):
            self._said.hardware.append((f"{name} {value}", position))

    def _medium(self, option: Option, specifier: str) -> str | None:
        """The kind of stream, nothing for all of them, or None when the option is not for those."""
        if not specifier:
            return "" if "-" in option.specifiers else None
        match = _SPECIFIER.fullmatch(specifier)
        if match is None or bool(match[1]) != ("m" in option.specifiers):
            return None
        return match[2] if match[1] or match[2] in option.specifiers else None

    def _value(self, option: Option, medium: str | None) -> str | None:
        """The option's value with its variables filled in, or None when it is refused."""
        given = self._words[self._at] if self._at < len(self._words) else None
        if given is None or (re.match(r"-[A-Za-z]", given) and option.takes is not Takes.CHAIN):
            self._no(Kind.MISSING_VALUE, "the option is given nothing", "write its value behind it")
            return None
        self._at += 1
        if medium is None:
            return None
        value = given
        for variable, meaning in self._variables.items():
            value = value.replace(variable, meaning)
        if option.takes is not Takes.SANDBOX_PATH and (INPUT_URL in value or OUTPUT_PATH in value):
            self._no(Kind.MISPLACED_VARIABLE, f"-{option.name} takes no place", "the input's is behind -i, the output's at the end")
            return None
        if option.takes is Takes.CODEC:
            return self._codec(value, medium)
        if option.takes is Takes.CHAIN:
            return self._chain(value, medium)
        if option.value is None or option.value.accepts(value):
            return value
        self._no(option.value.kind, f"-{option.name} takes no such value", f"give {option.value.told}")
        return None

    def _codec(self, value: str, medium: str) -> str | None:
        allowed = (ENCODERS if self._said.has_input else DECODERS).get(medium, ("copy",))
        if value in allowed:
            return value
        remedy = f"give {', '.join(allowed)}" if medium else "give copy, or say -c:v and -c:a"
        self._no(Kind.FORBIDDEN_CODEC, "the codec is not allowed", remedy)
        return None

    def _chain(self, value: str, medium: str) -> str | None:
        chain = read_chain(value, medium)
        if isinstance(chain, Fault):
            self._no(chain.kind, chain.problem, chain.remedy)
            return None
        return chain
