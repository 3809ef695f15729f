"""The kinds of events, for those who choose among them. docs/api.md says what each means; a test holds the three together."""

EVENT_KINDS = frozenset(
    {
        *("channel_state", "channel_late", "channel_removed", "channel_degraded", "channel_recovered"),
        *("entry_started", "entry_continued", "entry_ended", "entry_substituted", "entry_passed_over", "entry_skipped"),
        *("playlist_applied", "playlist_refused"),
        *("source_state", "override_ordered", "override_lifted", "timetable_turned"),
        *("output_state", "output_verdict", "output_treated"),
        *("clip_preparing", "clip_prepared", "clip_refused", "clip_uploaded"),
        *("signed_in", "signed_out", "token_added", "token_revoked"),
        *("alarm", "alert", "clock_jumped", "config_reloaded", "config_refused"),
        *("store_not_written", "store_written_again", "store_set_aside"),
    }
)
