"""Settings of a benchmark's command line: NAME=VALUE, the name with dots, the value as JSON or a bare word."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, TypeVar

from neurorbit.engine.training.settings import from_dict, to_dict

T = TypeVar("T")


def changed(config: T, texts: Sequence[str]) -> T:
    """The configuration with every NAME=VALUE in it; ValueError for an unknown name or a value of another type."""
    values = to_dict(config)
    for text in texts:
        name, equals, value = text.partition("=")
        *sections, last = name.split(".")
        place: Any = values
        for section in sections:
            place = place.get(section) if isinstance(place, dict) else None
        if not equals or not isinstance(place, dict) or last not in place:
            raise ValueError(f"--set: expected NAME=VALUE with the name of a setting, got {text!r}")
        try:
            place[last] = json.loads(value)
        except json.JSONDecodeError:
            place[last] = value
    return from_dict(type(config), values)
