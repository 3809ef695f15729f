"""All parsers of what others wrote: where each is, which tests run every line of it, which one fuzzes it, and what bounds its input.

Held by test_parser_table.py. A new parser gets a row here.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Parser:
    """`fuzz` and `cap`: a test, as `file::name` below tests/; `cap` may be words where the caller bounds the input."""

    module: str
    fuzz: str
    cap: str


@dataclass(frozen=True, slots=True)
class Group:
    """Parsers whose lines are run by the same test files; `but` are tests among them that take long, or run
    other lines each time."""

    name: str
    tests: tuple[str, ...]
    parsers: tuple[Parser, ...]
    but: str = ""


_SAID, _STREAMS, _LISTS = "parsers/test_ffmpeg_said.py", "parsers/test_fuzz_streams.py", "parsers/test_fuzz_lists.py"
_LIVE = f"{_SAID}::test_any_lines_of_a_live_source_are_counted_and_judged"
_LINE = "a line has 4096 bytes at most (media.child)"
_ARGUMENTS = "relay/test_relay_fuzz.py::test_any_text_is_refused_or_safe"
_WORDS = "relay/test_relay_arguments.py::test_a_hostile_list_is_refused_with_its_reason_and_place"
_FAR, _FAR_CAP = "far/test_fuzz_far.py", "far/test_fuzz_far.py::test_a_length_that_is_announced_promises_no_memory"

GROUPS = (
    Group(
        "what FFmpeg says",
        (_SAID, "sources/test_reasons.py", "sources/test_measures.py", "sources/test_picture_watch.py", "process/test_ffmpeg_log.py"),
        (
            Parser("process/ffmpeg_log.py", f"{_SAID}::test_any_line_is_taken_apart", _LINE),
            Parser(
                "sources/reasons.py",
                f"{_SAID}::test_any_lines_are_explained_and_never_raise",
                f"{_SAID}::test_a_source_that_complains_without_end_costs_no_memory",
            ),
            Parser("sources/measures.py", _LIVE, _LINE),
            Parser("sources/picture_watch.py", _LIVE, _LINE),
            Parser("sources/suits.py", f"{_SAID}::test_any_lines_are_explained_and_never_raise", _LINE),
            Parser("media/probe_banner.py", f"{_SAID}::test_any_banner_is_read_into_plain_values", _LINE),
        ),
        but="really_says or test_any_ or told_in_turn",
    ),
    Group(
        "streams",
        (
            *(f"ts/test_{name}.py" for name in ("conform", "index", "live_conform", "nal", "packet", "psi", "timeline")),
            "media/test_clock_samples.py",
            "readback/test_segment.py",
            "readback/test_readback_manifest.py",
            _STREAMS,
        ),
        (
            Parser("ts/packet.py", f"{_STREAMS}::test_packets_and_the_picture_in_them_are_read_or_refused", "its caller's piece"),
            Parser("ts/psi.py", f"{_STREAMS}::test_any_table_with_a_right_checksum_is_read", "a packet"),
            Parser("ts/nal.py", "ts/test_nal.py::test_any_unit_has_its_parameter_sets_or_is_refused", "the first packets of a picture"),
            Parser("ts/h265.py", "ts/test_nal.py::test_no_h265_does_more_than_be_refused", "a segment"),
            Parser(
                "ts/timeline.py", "ts/test_timeline.py::test_a_timestamp_reads_back_as_it_was_written_modulo_the_wrap", "its caller's piece"
            ),
            Parser("ts/elementary.py", f"{_STREAMS}::test_packets_and_the_picture_in_them_are_read_or_refused", "a block"),
            Parser(
                "ts/index.py",
                f"{_STREAMS}::test_any_index_is_read_or_refused_and_a_length_promises_no_memory",
                f"{_STREAMS}::test_any_index_is_read_or_refused_and_a_length_promises_no_memory",
            ),
            Parser(
                "ts/conform.py",
                f"{_STREAMS}::test_a_damaged_stream_is_conformed_or_refused",
                f"{_STREAMS}::test_what_never_becomes_a_block_is_refused_before_it_fills_the_memory",
            ),
            Parser(
                "ts/live_conform.py",
                f"{_STREAMS}::test_a_damaged_stream_is_conformed_or_refused",
                f"{_STREAMS}::test_what_never_becomes_a_block_is_refused_before_it_fills_the_memory",
            ),
            Parser(
                "media/clock_samples.py",
                "media/test_clock_samples.py::test_any_bytes_are_clocks_in_order_or_none",
                "media/test_clock_samples.py::test_a_long_file_is_looked_at_in_bounded_samples",
            ),
            Parser("readback/segment.py", f"{_STREAMS}::test_any_segment_is_judged", "readback.follow's cap of a segment"),
            Parser(
                "readback/manifest.py",
                f"{_STREAMS}::test_any_manifest_is_read_or_refused_with_a_sentence",
                f"{_STREAMS}::test_a_manifest_without_end_is_refused",
            ),
        ),
        but="test_any_ or damaged_stream or noise or whatever_comes or garbage or breaks_off",
    ),
    Group(
        "lists and written values",
        ("playlist/test_parse.py", "playlist/test_locate.py", _LISTS),
        (
            Parser(
                "playlist/parse.py",
                f"{_LISTS}::test_any_playlist_of_known_pieces_is_read_or_refused_with_its_place",
                "playlist/test_parse.py::test_caps_refuse_with_the_line",
            ),
            Parser(
                "playlist/yaml_list.py",
                f"{_LISTS}::test_any_yaml_is_items_or_an_error",
                f"{_LISTS}::test_yaml_that_costs_or_means_too_much_is_refused",
            ),
            Parser("mock/wanted.py", f"{_LISTS}::test_any_option_of_a_mock_source_is_a_value_or_a_refusal", "an argument of a command"),
            Parser(
                "base/units.py",
                f"{_LISTS}::test_any_written_number_is_a_value_or_a_short_refusal",
                f"{_LISTS}::test_a_number_that_would_be_computed_for_ever_is_refused_unread",
            ),
            Parser(
                "base/redact.py",
                f"{_LISTS}::test_any_text_is_redacted_in_little_more_than_its_length",
                f"{_LISTS}::test_a_long_line_of_what_might_be_schemes_is_redacted_in_its_own_length",
            ),
        ),
        but="hostile_files or test_any_",
    ),
    Group(
        "far readers and their proxy",
        ("far/test_far_address.py", "far/test_seal.py", "far/test_sides.py", _FAR),
        (
            Parser("far/wire.py", f"{_FAR}::test_anything_said_to_the_proxy_is_a_request_or_denied", _FAR_CAP),
            Parser("far/sides.py", f"{_FAR}::test_anything_said_to_a_reader_is_the_stream_up_to_there_or_an_error", _FAR_CAP),
            Parser(
                "far/compression.py",
                f"{_FAR}::test_anything_that_is_unpacked_is_as_long_as_announced_or_refused",
                "far/test_sides.py::test_what_unpacks_to_another_length_than_it_says_is_refused",
            ),
            Parser("far/seal.py", f"{_FAR}::test_sealed_frames_that_were_changed_deliver_nothing", _FAR_CAP),
            Parser("far/address.py", f"{_FAR}::test_any_text_is_an_address_or_refused", "an argument of a command"),
        ),
        but="anything_said or anything_that or test_any_text or were_changed or was_changed",
    ),
    Group(
        "relay profiles and lists of upstream channels",
        tuple(
            f"relay/test_{name}.py"
            for name in ("relay_arguments", "relay_profile", "relay_render", "proxy_m3u", "proxy_ids", "proxy_export")
        ),
        (
            *(
                Parser(f"relay/{name}.py", _ARGUMENTS, _WORDS)
                for name in ("arguments", "reader", "template", "values", "options", "forbidden", "profile", "refusal", "defaults")
            ),
            Parser("relay/render.py", "relay/test_relay_fuzz.py::test_any_url_is_refused_or_the_one_input", _WORDS),
            Parser(
                "relay/filtergraph.py", "relay/test_relay_fuzz.py::test_any_chain_of_filters_is_refused_or_comes_out_in_one_writing", _WORDS
            ),
            Parser(
                "relay/filter_table.py",
                "relay/test_relay_fuzz.py::test_any_chain_of_filters_is_refused_or_comes_out_in_one_writing",
                _WORDS,
            ),
            *(
                Parser(
                    f"relay/proxy_{name}.py",
                    "relay/test_proxy_fuzz.py::test_any_text_of_the_format_s_pieces_is_a_list_or_refused_and_written_again_as_it_was",
                    "relay/test_proxy_m3u.py::test_a_list_over_a_cap_is_refused",
                )
                for name in ("m3u", "ids", "export")
            ),
        ),
        but="thousand",
    ),
)

_FOLLOWS = ("hardware", "machine", "effects", "effect_table", "effect_filters", "effect_streams")
NO_PARSERS = frozenset(f"relay/{name}.py" for name in _FOLLOWS)
"""Of channeld/relay: what starts FFmpeg, and what follows of arguments that were read (test_relay_effects)."""
