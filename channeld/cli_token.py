"""`channeld token`: make, list and revoke the tokens of programs and people.

Rule: a token is written to stdout once, when it is made; everything else about it may be shown to anybody.
"""

import re
import sys
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any
from urllib.parse import quote

import typer
from rich.table import Table

from channeld.cli_client import AdminClient, Rejected, connect
from channeld.cli_render import console, listing, plain, show_note
from channeld.cli_verb import OK, ConfigOption, JsonOption, TokenOption, UrlOption, verb_of, write_json

tokens = typer.Typer(help="The tokens of programs and people: make, list, revoke.", no_args_is_help=True)
_SPAN = re.compile(r"(\d{1,6})([hdw])")
_HOURS = {"h": 1, "d": 24, "w": 7 * 24}
_TOKENS = "/api/v1/tokens"


@verb_of(tokens, "add")
def add(
    name: Annotated[str, typer.Argument(help="Letters, digits, `.`, `_` and `-`.")],
    role: Annotated[str, typer.Option("--role", help="viewer (reads), operator (changes what airs) or admin (may do all).")] = "viewer",
    expires: Annotated[
        str | None, typer.Option("--expires", help="A span from now, such as 12h, 90d, 4w, or a moment in ISO 8601. Default: never.")
    ] = None,
    config: ConfigOption = None,
    url: UrlOption = None,
    token: TokenOption = None,
    as_json: JsonOption = False,
) -> int:
    """Make a token. It is written to stdout, this once."""
    made = make_token(connect(config, url, token), name, role, expires)
    if as_json:
        write_json(made)
    else:
        show_note(f"the token {name} has the role {role}; it is shown this once")
        sys.stdout.write(f"{made['token']}\n")
    return OK


@verb_of(tokens, "list")
def show(config: ConfigOption = None, url: UrlOption = None, token: TokenOption = None, as_json: JsonOption = False) -> int:
    """Show whose tokens there are, when they end and when they were used last."""
    found = list_tokens(connect(config, url, token))
    if as_json:
        write_json(found)
    else:
        console().print(token_table(found))
    return OK


@verb_of(tokens, "revoke")
def revoke(
    name: Annotated[str, typer.Argument(help="As `channeld token list` shows it.")],
    config: ConfigOption = None,
    url: UrlOption = None,
    token: TokenOption = None,
    as_json: JsonOption = False,
) -> int:
    """End a token, and the sessions of who signed in with it, at once."""
    revoked = revoke_token(connect(config, url, token), name)
    if as_json:
        write_json(revoked)
    else:
        console().print(plain(f"the token {name} is revoked; sessions ended: {revoked['sessions_ended']}"))
    return OK


def make_token(client: AdminClient, name: str, role: str, expires: str | None) -> dict[str, Any]:
    """The daemon's answer, which holds the token. Raises Rejected."""
    wanted = {"name": name, "role": role} | ({"expires_at": _moment(expires)} if expires is not None else {})
    made: dict[str, Any] = client.post(_TOKENS, wanted)
    return made


def list_tokens(client: AdminClient) -> list[dict[str, Any]]:
    """All tokens, without themselves."""
    return client.get_rows(_TOKENS)[0]


def revoke_token(client: AdminClient, name: str) -> dict[str, Any]:
    """The daemon's answer. Raises Rejected when there is no such token."""
    revoked: dict[str, Any] = client.delete(f"{_TOKENS}/{quote(name, safe='')}")
    return revoked


def token_table(tokens: list[dict[str, Any]]) -> Table:
    """A row for each token."""
    table = listing("Name", "Role", "Made (UTC)", "Ends", "Last used", "Sessions", right=("Sessions",))
    for token in tokens:
        ends = "never" if token["expires_at"] is None else f"{_day(token['expires_at'])}{' (over)' if token['is_expired'] else ''}"
        cells = token["name"], token["role"], _day(token["created_at"]), ends, _day(token["last_used_at"]), token["sessions"]
        table.add_row(*map(plain, cells))
    return table


def _moment(expires: str) -> str:
    """`90d` from now, or a moment as it was given; the daemon judges that."""
    span = _SPAN.fullmatch(expires)
    if span is None:
        return expires
    try:
        return (datetime.now(UTC) + timedelta(hours=int(span[1]) * _HOURS[span[2]])).isoformat(timespec="seconds")
    except OverflowError:
        raise Rejected({"detail": f"--expires: {expires} is too long"}) from None


def _day(moment: str | None) -> str:
    return "-" if moment is None else moment[:16].replace("T", " ")
