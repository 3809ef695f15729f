"""Where addresses are, by a real GeoIP file: read, replaced while it is in use, missing, broken."""

from pathlib import Path
from random import Random
from typing import Any

import pytest
from mmdb_writer import MMDBWriter
from netaddr import IPSet

from channeld.outputs.places import Places

BERLIN = {"country": {"iso_code": "DE"}, "city": {"names": {"en": "Berlin", "de": "Berlin"}}}


def write_geoip(path: Path, records: dict[str, Any]) -> None:
    """A file as MaxMind's are, renamed into place."""
    writer = MMDBWriter(6, "GeoLite2-City", languages=["en"], ipv4_compatible=True)
    for network, record in records.items():
        writer.insert_network(IPSet([network]), record)
    draft = path.with_suffix(".part")
    writer.to_db_file(str(draft))
    draft.replace(path)


@pytest.fixture
def told() -> list[str | None]:
    return []


@pytest.fixture
def places(tmp_path: Path, told: list[str | None]) -> Places:
    made = Places(told.append)
    made.change(tmp_path / "geo.mmdb")
    return made


def test_addresses_have_country_and_city_as_far_as_the_file_knows(tmp_path: Path, places: Places, told: list[str | None]) -> None:
    networks = {"192.0.2.0/24": BERLIN, "198.51.100.0/24": {"registered_country": {"iso_code": "FR"}}, "2001:db8::/32": BERLIN}
    write_geoip(tmp_path / "geo.mmdb", networks | {"203.0.113.0/24": {"strange": [1, "x"]}})
    places.look()
    asked = ("192.0.2.7", "::ffff:192.0.2.7", "198.51.100.1", "2001:db8::1%eth0", "203.0.113.1", "10.0.0.1", "unknown")
    assert [places.of(address) for address in asked] == ["DE/Berlin", "DE/Berlin", "FR", "DE/Berlin", None, None, None]
    assert told == []


def test_a_replaced_file_is_taken_up_and_a_missing_or_broken_one_is_told_once(
    tmp_path: Path, places: Places, told: list[str | None]
) -> None:
    path = tmp_path / "geo.mmdb"
    places.look()
    places.look()
    assert places.of("192.0.2.7") is None
    assert len(told) == 1 and str(path) in str(told[0]) and "No such file" in str(told[0])
    write_geoip(path, {"192.0.2.0/24": BERLIN})
    places.look()
    assert places.of("192.0.2.7") == "DE/Berlin" and told[1:] == [None]
    path.write_bytes(b"no database")
    places.look()
    assert len(told) == 3 and places.of("192.0.2.7") == "DE/Berlin"  # what was read stays
    write_geoip(path, {"192.0.2.0/24": {"country": {"iso_code": "FR"}}})
    places.look()
    assert places.of("192.0.2.7") == "FR" and told[3:] == [None]
    places.change(None)
    places.look()
    assert places.of("192.0.2.7") is None


def test_a_file_that_could_not_be_read_is_tried_again_as_it_is(tmp_path: Path, places: Places, told: list[str | None]) -> None:
    path, away = tmp_path / "geo.mmdb", tmp_path / "away"
    write_geoip(path, {"192.0.2.0/24": BERLIN})
    places.look()
    path.rename(away)
    places.look()
    assert len(told) == 1 and places.of("192.0.2.7") == "DE/Berlin"
    away.rename(path)
    places.look()
    assert told[1:] == [None]


def test_a_file_with_any_byte_wrong_ends_nothing(tmp_path: Path, places: Places) -> None:
    path, random = tmp_path / "geo.mmdb", Random(7)
    write_geoip(path, {"192.0.2.0/24": BERLIN})
    whole = path.read_bytes()
    for _ in range(150):
        damaged = bytearray(whole)
        for _ in range(random.randrange(1, 5)):
            damaged[-random.randrange(1, 300)] = random.randrange(256)
        draft = tmp_path / "draft"
        draft.write_bytes(damaged[: random.choice((None, random.randrange(len(damaged))))])
        draft.replace(path)
        places.look()
        assert places.of("192.0.2.7") is None or isinstance(places.of("192.0.2.7"), str)
