"""Groups of commands whose second word may be left out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import typer
from typer.core import TyperGroup


class DefaultGroup(TyperGroup):
    """`facecli preprocess --mediapipe -i IN -o OUT` means `facecli preprocess landmarks …`."""

    default: ClassVar[str] = ""
    """The command that is meant when the first word is none."""
    spellings: ClassVar[Mapping[str, str]] = {}
    """Options as research scripts spell them -> ours."""

    def parse_args(self, ctx: typer.Context, args: list[str]) -> list[str]:
        wants_help = args and args[0] in ctx.help_option_names
        if args and args[0] not in self.commands and not wants_help:
            args = [self.default, *args]
        return super().parse_args(ctx, [self._respelled(word) for word in args])

    def _respelled(self, word: str) -> str:
        option, equals, value = word.partition("=")
        return self.spellings.get(option, option) + equals + value
