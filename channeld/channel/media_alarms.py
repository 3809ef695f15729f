"""What listeners tell that wants somebody's eye, as alarms. Pure translation; control loop's thread."""

from typing import Any

from channeld.channel.alarms import Alarms

OUTPUT = "output_not_written"
CAP = "hls_over_cap"
CERTIFICATE = "certificate"
GEOIP = "geoip"
ATTACH, ATTACH_CHANNEL = "attach_not_open", "attach_not_listening"


def tell_output(alarms: Alarms, values: dict[str, Any], *, failed: bool) -> None:
    """A worker cannot write an output, or can again."""
    subject = f"{values['channel']}/{values['output']}"
    if failed:
        alarms.raise_alarm(OUTPUT, subject, level="critical", message=f"{values.get('error')}. What viewers have stays; it is tried again")
    else:
        alarms.clear(OUTPUT, subject)


def clear_output(alarms: Alarms, channel: str, output: str) -> None:
    """The output is served no more."""
    alarms.clear(OUTPUT, f"{channel}/{output}")


def tell_certificate(alarms: Alarms, listener: str, error: str | None) -> None:
    """The files of a listener's certificate cannot be used, or are in use."""
    if error is None:
        alarms.clear(CERTIFICATE, listener)
    else:
        alarms.raise_alarm(CERTIFICATE, listener, level="critical", message=error)


def tell_geoip(alarms: Alarms, error: str | None) -> None:
    """The file that says where addresses are cannot be used, or can."""
    if error is None:
        alarms.clear(GEOIP, "media")
    else:
        alarms.raise_alarm(GEOIP, "media", level="low", message=error)


def tell_attach(alarms: Alarms, error: str | None) -> None:
    """No program of this machine can read a channel, or whoever may can."""
    if error is None:
        alarms.clear(ATTACH, "attach")
    else:
        alarms.raise_alarm(ATTACH, "attach", level="warning", message=error)


def tell_attach_channel(alarms: Alarms, channel: str, error: str | None) -> None:
    """The same of one channel."""
    if error is None:
        alarms.clear(ATTACH_CHANNEL, channel)
    else:
        alarms.raise_alarm(ATTACH_CHANNEL, channel, level="warning", message=error)


def tell_cap(alarms: Alarms, values: dict[str, Any], subject: str) -> None:
    """The listed segments of a worker are more than its part of hls_max_bytes, or fit again."""
    if not values["is_over"]:
        alarms.clear(CAP, subject)
        return
    total, cap = values["total_bytes"] >> 20, values["max_bytes"] >> 20
    message = f"the listed segments take {total} MiB, hls_max_bytes gives them {cap} MiB. Raise it, or make windows shorter"
    alarms.raise_alarm(CAP, subject, level="low", message=message)
