"""Every metric that exists: its name, kind, labels and what it says.

Rule: a metric exists only if it stands in METRICS; docs/metrics.md has a row for each. Labels are bounded: channels, outputs and
hosts as configured, routes by their template, states and reasons by tables. Counter names carry no `_total`: the library adds it.
"""

from dataclasses import dataclass
from typing import Literal

CHANNEL_STATES = ("starting", "on_air", "filler", "stopping", "stopped", "failed")
SOURCE_STATES = ("standby", "connecting", "live", "lost")
OUTPUT_STATES = ("starting", "up", "retrying", "resting", "stopped")
VERDICTS = ("ok", "late", "stale", "broken", "silent", "frozen", "unreachable")
HTTP_BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
CONNECTION_BUCKETS_S = (1.0, 10.0, 60.0, 300.0, 900.0, 3600.0, 14400.0, 43200.0, 86400.0)

_C, _O, _P, _S = ("channel",), ("channel", "output"), ("process",), ("channel", "source")


@dataclass(frozen=True, slots=True)
class MetricSpec:
    """One row of the table."""

    name: str
    kind: Literal["gauge", "counter", "histogram"]
    help: str
    labels: tuple[str, ...] = ()


# -- channels and their splices -------------------------------------------------------------------------------------

CHANNELS = MetricSpec("channeld_channels", "gauge", "Channels by state.", ("state",))
CHANNEL_STATE = MetricSpec("channeld_channel_state", "gauge", "1 for the state a channel is in.", ("channel", "state"))
DEGRADED_STEP = MetricSpec("channeld_channel_degraded_step", "gauge", "0 none, 1 outputs rest, 2 an entry is passed over, 3 filler.", _C)
UNDERRUNS = MetricSpec("channeld_underruns", "counter", "Times filler aired because the next clip was not in memory.", _C)
PASSED_OVER = MetricSpec("channeld_entries_passed_over", "counter", "Entries not ready at their boundary.", _C)
JOINS = MetricSpec("channeld_joins", "counter", "Clips and fillers joined to the stream.", _C)
JOIN_GAP = MetricSpec("channeld_join_gap_ticks", "counter", "Ticks of 90 kHz that joins left empty, by track.", ("channel", "track"))
JOIN_SKEW = MetricSpec("channeld_join_skew_ticks", "gauge", "Audio against video of the newest join's clip; late audio is positive.", _C)
JOIN_SKEW_MAX = MetricSpec("channeld_join_skew_max_ticks", "gauge", "The largest such error since control began, without sign.", _C)
LATENESS = MetricSpec("channeld_release_lateness_seconds", "histogram", "How late slices were released.", ("host",))

# -- bus and outputs ------------------------------------------------------------------------------------------------

BUS_HEAD = MetricSpec("channeld_bus_head_sequence", "gauge", "Newest slice published on a channel's bus.", _C)
BUS_SECONDS = MetricSpec("channeld_bus_seconds", "gauge", "Stream that the bus holds: how far a reader may fall behind.", _C)
BUS_BYTES = MetricSpec("channeld_bus_bytes", "gauge", "Bytes of stream that the bus holds.", _C)
BUS_CAPACITY = MetricSpec("channeld_bus_capacity_bytes", "gauge", "Bytes that the bus can hold.", _C)
BUS_READERS = MetricSpec("channeld_bus_readers", "gauge", "Programs on this machine that read a channel's bus.", _C)
LOOKAHEAD = MetricSpec("channeld_lookahead_seconds", "gauge", "The playing clip's part that is in memory and has not aired.", _C)
READER_LAG = MetricSpec("channeld_reader_lag_seconds", "gauge", "How far a push, or a named pipe's reader, is behind the bus.", _O)
READER_JUMPS = MetricSpec("channeld_reader_jumps", "counter", "Times a push left stream out because the bus overtook it.", _O)
FIFO_BYTES = MetricSpec("channeld_fifo_bytes", "gauge", "Bytes in a push's FIFO that FFmpeg has not read.", _O)
FIFO_CAPACITY = MetricSpec("channeld_fifo_capacity_bytes", "gauge", "Bytes that a push's FIFO can hold.", _O)
PIPE_READERS = MetricSpec("channeld_pipe_readers", "gauge", "Readers of an output's named pipes.", _O)
PIPE_JUMPS = MetricSpec("channeld_pipe_jumps", "counter", "Times a reader of a named pipe was too slow and lost stream.", _O)
PIPE_STALLS = MetricSpec("channeld_pipe_stalls", "counter", "Readers of a named pipe that took nothing and were hung up on.", _O)
OUTPUT_STATE = MetricSpec("channeld_output_state", "gauge", "1 for the state an output is in.", (*_O, "state"))
OUTPUT_RESTARTS = MetricSpec("channeld_output_restarts", "counter", "Times an output's process was started again.", _O)
OUTPUT_RECONNECTS = MetricSpec("channeld_output_reconnects", "counter", "Times a push's FFmpeg connected again by itself.", _O)
RTMP_HEADROOM = MetricSpec("channeld_rtmp_clock_headroom_seconds", "gauge", "Until a push's RTMP clock wraps at 2^31 ms.", _O)
HLS_SEQUENCE = MetricSpec("channeld_hls_media_sequence", "gauge", "Media sequence number of the manifest.", _O)
SEGMENT_WAIT = MetricSpec("channeld_hls_segment_wait_seconds", "gauge", "From the release of a segment's first picture to its listing.", _O)
CLIENTS = MetricSpec("channeld_output_clients", "gauge", "Viewers of a transport stream over HTTP.", _O)
CLIENT_BYTES = MetricSpec("channeld_output_client_bytes", "counter", "Bytes that viewers of a transport stream took.", _O)
CLIENT_SKIPS = MetricSpec("channeld_output_client_skips", "counter", "Times a viewer was too slow and moved to a random access point.", _O)
CLIENT_REFUSALS = MetricSpec("channeld_output_clients_refused", "counter", "Viewers that a limit turned away.", _O)
CONNECTION_SECONDS = MetricSpec("channeld_output_connection_seconds", "histogram", "How long viewers of a transport stream stayed.", _O)

# -- live sources ---------------------------------------------------------------------------------------------------

SOURCE_STATE = MetricSpec("channeld_source_state", "gauge", "1 for the state a live source is in.", (*_S, "state"))
SOURCE_BYTES = MetricSpec("channeld_source_bytes", "counter", "Bytes of a live source's stream, behind FFmpeg.", _S)
SOURCE_LOSSES = MetricSpec("channeld_source_losses", "counter", "What FFmpeg told to be lost of a live source, by kind.", (*_S, "kind"))
SOURCE_JITTER = MetricSpec("channeld_source_jitter_seconds", "gauge", "How unevenly pictures come, by RFC 3550's estimator.", _S)
SOURCE_RECONNECTS = MetricSpec("channeld_source_reconnects", "counter", "Times a live source was connected to again.", _S)
SOURCE_DELAY = MetricSpec("channeld_source_air_delay_seconds", "gauge", "From a picture's arrival to its release on air.", _S)
SEGMENT_DELAY = MetricSpec("channeld_source_segment_delay_seconds", "gauge", "From a picture's arrival to its listed segment.", _S)
SOURCE_DRIFT = MetricSpec("channeld_source_drift_seconds", "gauge", "How much later than at first a live source's slices are due.", _S)

# -- what viewers find ----------------------------------------------------------------------------------------------

VERDICT = MetricSpec("channeld_output_verdict", "gauge", "1 for what viewers find at an output.", (*_O, "verdict"))
MANIFEST_AGE = MetricSpec("channeld_manifest_age_seconds", "gauge", "Since an output's manifest last grew.", _O)
SEGMENT_ERRORS = MetricSpec("channeld_segment_errors", "counter", "Published segments found faulty.", _O)
DISCONTINUITIES = MetricSpec("channeld_hls_discontinuities", "counter", "Discontinuities seen in a manifest.", _O)
LOOK_CPU = MetricSpec("channeld_readback_look_cpu_seconds", "counter", "CPU time spent on loading and parsing what is published.")
DECODE_CPU = MetricSpec("channeld_readback_decode_cpu_seconds", "counter", "CPU time spent on decoding samples.")

# -- preparing ------------------------------------------------------------------------------------------------------

PREPARE_SECONDS = MetricSpec("channeld_prepare_seconds", "counter", "Seconds spent conforming clips.")
PREPARED_MEDIA_SECONDS = MetricSpec("channeld_prepared_media_seconds", "counter", "Seconds of media conformed.")
PREPARE_SPEED = MetricSpec("channeld_prepare_speed_ratio", "gauge", "Media seconds per second of the newest conformed clip.")
PREPARE_CLIPS = MetricSpec("channeld_prepare_clips", "counter", "Clips conformed, refused, or put off.", ("result",))
PREPARE_QUEUE = MetricSpec("channeld_prepare_queue_clips", "gauge", "Clips that are wanted, by how far they are.", ("stage",))
CLIP_ERRORS = MetricSpec("channeld_clip_errors", "counter", "Entries refused for their clip, by reason.", ("reason",))
CACHE_BYTES = MetricSpec("channeld_cache_bytes", "gauge", "Bytes of prepared clips.")
CACHE_MAX_BYTES = MetricSpec("channeld_cache_max_bytes", "gauge", "The cap on them.")

# -- the daemon itself ----------------------------------------------------------------------------------------------

CONFIG_OK = MetricSpec("channeld_config_ok", "gauge", "1 while the newest configuration is in use, 0 while it is refused.")
ALARM = MetricSpec("channeld_alarm", "gauge", "1 for each alarm that stands.", ("alarm", "subject", "level"))
HTTP_SECONDS = MetricSpec("channeld_http_request_seconds", "histogram", "Time to an answer's head.", ("method", "route", "status"))
PROCESS_CPU = MetricSpec("channeld_process_cpu_seconds", "counter", "CPU time of a process of the daemon.", _P)
PROCESS_BYTES = MetricSpec("channeld_process_resident_bytes", "gauge", "Memory of a process of the daemon, shared pages included.", _P)
CHILDREN_CPU = MetricSpec("channeld_prepare_cpu_seconds", "counter", "CPU time of children of control that ended: probing, preparing.")
CHANNEL_CPU = MetricSpec(
    "channeld_channel_cpu_seconds", "counter", "CPU time for a channel: pushes, sources, and its share of its host.", ("channel", "part")
)
CHANNEL_BYTES = MetricSpec("channeld_channel_resident_bytes", "gauge", "Memory of a channel's pushes and of what takes its sources in.", _C)

WEBHOOK_EVENTS = MetricSpec("channeld_webhook_events", "counter", "Events at a webhook: delivered, dropped.", ("webhook", "result"))
WEBHOOK_FAILURES = MetricSpec("channeld_webhook_failures", "counter", "Attempts that a webhook's target did not take.", ("webhook",))
WEBHOOK_WAITING = MetricSpec("channeld_webhook_waiting", "gauge", "Events that wait for a webhook's target.", ("webhook",))
ALERTS_FIRING = MetricSpec("channeld_alerts_firing", "gauge", "Alerts that stand, by their rule.", ("rule",))
ALERT_MESSAGES = MetricSpec("channeld_alert_messages", "counter", "Messages to an alert target: sent, dropped.", ("target", "result"))
ALERT_FAILURES = MetricSpec("channeld_alert_failures", "counter", "Attempts that an alert target did not take.", ("target",))

METRICS = (
    *(CHANNELS, CHANNEL_STATE, DEGRADED_STEP, UNDERRUNS, PASSED_OVER, JOINS, JOIN_GAP, JOIN_SKEW, JOIN_SKEW_MAX, LATENESS),
    *(BUS_HEAD, BUS_SECONDS, BUS_BYTES, BUS_CAPACITY, BUS_READERS, LOOKAHEAD, READER_LAG, READER_JUMPS, FIFO_BYTES, FIFO_CAPACITY),
    *(PIPE_READERS, PIPE_JUMPS, PIPE_STALLS),
    *(OUTPUT_STATE, OUTPUT_RESTARTS, OUTPUT_RECONNECTS, RTMP_HEADROOM, HLS_SEQUENCE, SEGMENT_WAIT, CLIENTS),
    *(CLIENT_BYTES, CLIENT_SKIPS, CLIENT_REFUSALS, CONNECTION_SECONDS),
    *(SOURCE_STATE, SOURCE_BYTES, SOURCE_LOSSES, SOURCE_JITTER, SOURCE_RECONNECTS, SOURCE_DELAY, SEGMENT_DELAY, SOURCE_DRIFT),
    *(VERDICT, MANIFEST_AGE, SEGMENT_ERRORS, DISCONTINUITIES, LOOK_CPU, DECODE_CPU),
    *(PREPARE_SECONDS, PREPARED_MEDIA_SECONDS, PREPARE_SPEED, PREPARE_CLIPS, PREPARE_QUEUE, CLIP_ERRORS, CACHE_BYTES, CACHE_MAX_BYTES),
    *(WEBHOOK_EVENTS, WEBHOOK_FAILURES, WEBHOOK_WAITING, ALERTS_FIRING, ALERT_MESSAGES, ALERT_FAILURES),
    *(CONFIG_OK, ALARM, HTTP_SECONDS, PROCESS_CPU, PROCESS_BYTES, CHILDREN_CPU, CHANNEL_CPU, CHANNEL_BYTES),
)
