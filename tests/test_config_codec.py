"""The codec of a profile, and which outputs of its channels carry it."""

from pathlib import Path

from test_config import only_fault, read

RTMP_ONLY = "channels: {a: {outputs: [{rtmp: rtmp://h/live/a}]}}"


def test_h265_goes_everywhere_but_to_rtmp(tmp_path: Path) -> None:
    profiles = "profiles: {x: {codec: h265}}\n"
    channel = "channels: {a: {profile: x, outputs: [{hls: {}}, {dash: {}}, {named_pipe: {}}, {ts: {}}, {srt: 'srt://h:9000'}%s]}}"
    config = read(profiles + channel % "", tmp_path)
    assert config.profile(config.channels["a"].profile).codec == "h265"
    for said in ("", "{name: y, enabled: false, url: rtmp://h/live/a}"):
        error = only_fault(profiles + channel % f", {{rtmp: {said or 'rtmp://h/live/a'}}}", tmp_path)
        assert (error.key, error.line) == ("channels.a.outputs[5].rtmp", 2)
        assert "RTMP does not carry H.265, which profile x has. Push by srt, serve hls, dash or ts" in error.message
    assert "profile 720p30 has" in only_fault(f"profiles: {{720p30: {{codec: h265}}}}\n{RTMP_ONLY}", tmp_path).message
