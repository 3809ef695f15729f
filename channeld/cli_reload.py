"""`channeld reload`: have the daemon take its configuration anew, and say what that changed.

Rule: the daemon judges the file, with the secrets that only it is given; a faulty one changes nothing.
"""

from typing import Any

from channeld.cli_client import AdminClient
from channeld.cli_render import console, plain


def reload_configuration(client: AdminClient) -> dict[str, Any]:
    """Ask for it; gives the daemon's answer. Raises Rejected with every fault."""
    answer: dict[str, Any] = client.post("/api/v1/reload")
    return answer


def show_reload(answer: dict[str, Any]) -> None:
    """One line for each thing that changed."""
    restarted = set(answer["restarted"])
    lines = [f"added {channel}" for channel in answer["added"]]
    lines += [f"removed {channel}" for channel in answer["removed"]]
    for channel, keys in answer["changed"].items():
        lines.append(f"changed {channel}: {', '.join(keys)}" + (" (it restarts)" if channel in restarted else ""))
    lines += [f"changed {key}" for key in answer["daemon"]]
    lines += [f"{key} counts from the daemon's next start" for key in answer["needs_restart"]]
    for line in lines or ["nothing changed"]:
        console().print(plain(line))
