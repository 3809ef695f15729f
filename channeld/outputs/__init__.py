"""Floor 5: readers of a channel's bus that deliver it: RTMP and SRT push, HLS origin, HTTP-TS."""
