"""A user's name and password on their way to the site that issued them: never shown, never stored."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field

from facecli.assets.catalogue import Login


@dataclass(frozen=True)
class Credentials:
    """What a user logs in with. Neither is in its `repr`, so that no log or traceback shows them by accident."""

    user: str = field(repr=False)
    password: str = field(repr=False)

    def form(self) -> dict[str, str]:
        """The fields that the sites' forms have."""
        return {"username": self.user, "password": self.password}


Ask = Callable[[Login], Credentials | None]
"""Gets the user's credentials for a site; None, or a UsageError that says what is missing, where it can't."""


def from_environment(login: Login) -> Credentials | None:
    """What ``FACECLI_<SITE>_USER`` and ``FACECLI_<SITE>_PASSWORD`` say, or None if one of them is missing or empty."""
    user = os.environ.get(login.user_variable, "")
    password = os.environ.get(login.password_variable, "")
    return Credentials(user, password) if user and password else None
