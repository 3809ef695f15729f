"""Which of our processes go before others of the machine (setpriority(2))."""

import os

import structlog

log = structlog.get_logger()


def raise_to(nice: int) -> None:
    """Put this thread, and those it starts from now on, over others; stays as it is where that is not allowed, and says so."""
    try:
        # An ordinary user needs RLIMIT_NICE for it, as LimitNICE= in the unit gives.
        os.setpriority(os.PRIO_PROCESS, 0, nice)
    except PermissionError:
        log.info("priority_not_raised", nice=os.getpriority(os.PRIO_PROCESS, 0), wanted=nice)


def added_to_ours(nice: int) -> int:
    """What a child is to add to our niceness, so that it has this one; never less than nothing."""
    return max(0, nice - os.getpriority(os.PRIO_PROCESS, 0))
