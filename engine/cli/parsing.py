"""From arguments to a command's dataclass, with one line for a mistake."""

from __future__ import annotations

import contextlib
import io
import re
from typing import Any, TypeVar

import tyro

T = TypeVar("T")


class UsageError(ValueError):
    """Arguments that the command does not take."""


def parse(command: type[T], arguments: list[str], prog: str, default: Any = None) -> T:
    """The command with its settings; UsageError with tyro's message as one line."""
    messages = io.StringIO()
    try:
        with contextlib.redirect_stderr(messages):
            found, unknown = tyro.cli(command, args=arguments, prog=prog, default=default, return_unknown_args=True)
    except SystemExit as leaving:
        if leaving.code in (0, None):
            raise
        raise UsageError(_one_line(messages.getvalue()) + f" (see {prog} --help)") from None
    if unknown:
        raise UsageError(f"unknown setting {unknown[0]!r} (see {prog} --help)")
    return found


def _one_line(box: str) -> str:
    """The message inside tyro's frame, without the help below it."""
    lines = [re.sub("^[│╭╰]|[│╮╯]$", "", line.strip()).strip() for line in box.splitlines()[1:]]
    message: list[str] = []
    for line in lines:
        if not line or set(line) <= set("─╰╯"):
            break
        message.append(line)
    return " ".join(message) or " ".join(box.split())


def preset_of(arguments: list[str]) -> str | None:
    """Value of --preset, wherever it stands: it decides the defaults of all other settings."""
    for at, word in enumerate(arguments):
        if word.startswith("--preset="):
            return word.split("=", 1)[1]
        if word == "--preset" and at + 1 < len(arguments):
            return arguments[at + 1]
    return None
