"""docs/relay-profiles.md says what the code does."""

import re

import pytest
import yaml
from relay_profiles import profile
from relay_tables import DOCUMENT, shown, tables

from channeld.relay.arguments import parse, refusals_of
from channeld.relay.profile import INPUT_TIMEOUT_S, MAX_ARGS, MAX_DESCRIPTION, MAX_NAME, MAX_SEGMENTS, SEGMENT_DURATION_S, RelayProfile
from channeld.relay.template import MAX_WORDS, VARIABLES

TEXT = DOCUMENT.read_text()
EXAMPLES = re.findall(r"```yaml\n(.*?)```(?:\n\n```text\n(.*?)```)?", TEXT, re.DOTALL)


@pytest.mark.parametrize("name", sorted(tables()))
def test_a_table_is_the_codes(name: str) -> None:
    assert shown(TEXT)[name] == tables()[name], "run python tests/relay/relay_tables.py"


@pytest.mark.parametrize("number", range(len(EXAMPLES)))
def test_an_example_is_taken_or_refused_as_shown(number: int) -> None:
    fields, refusals = EXAMPLES[number]
    given = profile(**{"args": "", **yaml.safe_load(fields)})
    assert [str(refusal) for refusal in refusals_of(given)] == refusals.splitlines()
    if not refusals:
        assert parse(given).middle


def test_there_are_examples_of_both_kinds() -> None:
    assert {bool(refusals) for _, refusals in EXAMPLES} == {True, False}


def test_the_fields_and_their_limits_are_told() -> None:
    told = dict(re.findall(r"^\| `(\w+)` \| (.*?) \|$", TEXT.partition("## Template")[0], re.MULTILINE))
    assert set(told) == set(RelayProfile.__dataclass_fields__)
    for field, limits in {"segment_duration": SEGMENT_DURATION_S, "max_segments": MAX_SEGMENTS, "input_timeout": INPUT_TIMEOUT_S}.items():
        assert f"{limits.start} to {limits.stop - 1}" in told[field]
    for field, longest in {"name": MAX_NAME, "description": MAX_DESCRIPTION, "ffmpeg_args": MAX_ARGS}.items():
        assert f"{longest} characters" in told[field]
    assert f"{MAX_WORDS} arguments" in told["ffmpeg_args"]
    assert all(f"`{variable}`" in TEXT for variable in VARIABLES)
