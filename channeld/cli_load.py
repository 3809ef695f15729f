"""`channeld load`: many viewers of one endless stream, and what they got.

Rule: needs no configuration and no daemon of ours: any address that serves MPEG-TS over HTTP will do. Progress goes to stderr.
"""

from channeld.base.redact import redact_url
from channeld.cli_render import console, plain, show_note
from channeld.load.run import LoadOrder, LoadReport, run_load


def load(order: LoadOrder, *, quiet: bool) -> LoadReport:
    """Run a load. Raises ConfigError for what cannot be."""
    return run_load(order, (lambda _watching, _bytes: None) if quiet else _tell)


def _tell(watching: int, received: int) -> None:
    if console(stderr=True).is_terminal:
        show_note(f"{watching} watch, {received / 1e6:.1f} MB")


def show_report(url: str, report: LoadReport) -> None:
    """Tell people what came of it."""
    out = console()
    slow = f", {report.slow} of them slow" if report.slow else ""
    out.print(plain(f"{report.clients} clients{slow} of {redact_url(url)} for {report.seconds:.1f} s"))
    out.print(f"connected {report.connected}, refused {report.refused}, lost {report.lost}")
    out.print(f"{report.bytes / 1e6:.1f} MB, {report.mbit_per_s:.1f} Mbit/s together")
    out.print(f"continuity errors {report.continuity_errors}, stalls {report.stalls}, packets without sync {report.unsynced_packets}")
    if report.slow:
        out.print(f"of slow clients: {report.slow_bytes / 1e6:.1f} MB, continuity errors {report.slow_continuity_errors}")
    if report.first_byte_p50_s is not None and report.first_byte_p99_s is not None and report.first_byte_max_s is not None:
        times = (report.first_byte_p50_s, report.first_byte_p99_s, report.first_byte_max_s)
        out.print("first byte after {:.0f} ms (half), {:.0f} ms (99 %), {:.0f} ms (all)".format(*(each * 1000 for each in times)))
    for reason, count in report.reasons.items():
        out.print(plain(f"{count}: {reason}"))
    out.print("good" if report.is_good else "NOT good")
