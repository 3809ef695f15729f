"""Roles, and who is asking.

Rule: a role may do all that the roles below it may. Pure.
"""

from dataclasses import dataclass, field
from enum import StrEnum


class Role(StrEnum):
    """What a token is for, the least first."""

    VIEWER = "viewer"
    OPERATOR = "operator"
    ADMIN = "admin"

    def includes(self, needed: "Role") -> bool:
        """Whether who has this role may do what the other one is needed for."""
        return _ORDER.index(self) >= _ORDER.index(needed)


_ORDER = tuple(Role)


@dataclass(frozen=True, slots=True)
class Identity:
    """Who is asking: the token's name and role, and the session when it came as a cookie.

    `token_digest` and `session_digest` say what of it must still stand; `csrf` and `media_token` are None without a session.
    """

    name: str
    role: Role
    expires_at_s: float | None = None
    token_digest: str = field(default="", repr=False)
    session_digest: str | None = field(default=None, repr=False)
    csrf: str | None = field(default=None, repr=False)
    media_token: str | None = field(default=None, repr=False)
