"""Live manifests as viewers meet them: read, or refused with a sentence."""

import pytest

from channeld.readback.manifest import MAX_MANIFEST_BYTES, read_manifest

LIVE = b"""#EXTM3U
#EXT-X-VERSION:6
#EXT-X-TARGETDURATION:4
#EXT-X-MEDIA-SEQUENCE:41
#EXT-X-DISCONTINUITY-SEQUENCE:2
#EXT-X-PROGRAM-DATE-TIME:2026-11-21T10:00:00.000Z
#EXTINF:4.000000,
segment-0000000041.ts
#EXT-X-DISCONTINUITY
#EXTINF:3.5,a title
segment-0000000042.ts?token=x
"""


def test_a_live_manifest_is_read() -> None:
    listing = read_manifest(LIVE)
    assert (listing.target_s, listing.discontinuities, len(listing.segments)) == (4, 2, 2)
    assert (listing.newest.sequence, listing.newest.uri, listing.newest.duration_s) == (42, "segment-0000000042.ts?token=x", 3.5)
    assert [segment.is_discontinuity for segment in listing.segments] == [False, True]
    assert listing.segments[0].wall_s == 1_795_255_200.0
    assert listing.newest.wall_s is None


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (b"", "first line"),
        (b"<html>502 Bad Gateway</html>", "first line"),
        (b"#EXTM3U\n#EXT-X-TARGETDURATION:4\n", "no segment"),
        (b"#EXTM3U\n#EXTINF:4,\na.ts\n", "TARGETDURATION"),
        (b"#EXTM3U\n#EXT-X-TARGETDURATION:-4\n#EXTINF:4,\na.ts\n", "not a number"),
        (b"#EXTM3U\n#EXT-X-TARGETDURATION:" + b"9" * 5000 + b"\n", "not a number"),
        (b"#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXTINF:nan,\na.ts\n", "not a duration"),
        (b"#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXTINF:1e300,\na.ts\n", "not a duration"),
        (b"#EXTM3U\n#EXT-X-TARGETDURATION:4\na.ts\n", "no EXTINF"),
        (b"#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\nhigh.m3u8\n", "playlist of playlists"),
        (b"#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXT-X-PROGRAM-DATE-TIME:soon\n#EXTINF:4,\na.ts\n", "not a time"),
        (b"#EXTM3U\n" + b"#" * MAX_MANIFEST_BYTES, "more than"),
        (b"#EXTM3U\n#EXT-X-TARGETDURATION:4\n" + b"#EXTINF:1,\na\n" * 20_000, "more than"),
        (b"#EXTM3U\n\xff\xfe\x00#EXT-X-TARGETDURATION:4\n", "no EXTINF"),
    ],
)
def test_what_players_stumble_over_is_refused_with_a_sentence(text: bytes, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        read_manifest(text)
