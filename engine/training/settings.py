"""Config dataclasses to and from plain dicts (JSON); a key that no field has is an error."""

from __future__ import annotations

import dataclasses
import types
import typing
from typing import Any, TypeVar

T = TypeVar("T")


def to_dict(config: Any) -> dict[str, Any]:
    """The settings as a dict that json can write."""
    return dataclasses.asdict(config)


def from_dict(cls: type[T], values: Any, where: str = "") -> T:
    """A config from a dict; ValueError names an unknown key, a missing key or a value of the wrong type."""
    if not isinstance(values, dict):
        raise ValueError(f"config: expected an object at {where or 'the top'}, got {type(values).__name__}")
    hints = typing.get_type_hints(cls)
    names = [f.name for f in dataclasses.fields(cls)]  # type: ignore[arg-type]
    unknown = [k for k in values if k not in names]
    if unknown:
        raise ValueError(f"config: unknown setting {where + unknown[0]!r}; known here: {', '.join(names)}")
    found = {k: _value(hints[k], v, where + k) for k, v in values.items()}
    try:
        return cls(**found)
    except TypeError:
        missing = sorted(set(names) - set(values))
        raise ValueError(f"config: expected {', '.join(where + m for m in missing)} as well") from None


def _value(hint: Any, value: Any, name: str) -> Any:
    if dataclasses.is_dataclass(hint):
        return from_dict(hint, value, name + ".")  # type: ignore[arg-type]
    origin, options = typing.get_origin(hint), typing.get_args(hint)
    if origin is typing.Literal:
        return _expect(value in options, value, name, f"one of {', '.join(map(str, options))}")
    if origin in (typing.Union, types.UnionType):
        if value is None and type(None) in options:
            return None
        return _value(next(o for o in options if o is not type(None)), value, name)
    if origin is tuple:
        _expect(isinstance(value, list | tuple), value, name, "a list")
        return tuple(_value(options[0], v, name) for v in value)
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    wrong_bool = isinstance(value, bool) and hint is not bool
    return _expect(isinstance(value, hint) and not wrong_bool, value, name, f"a {hint.__name__}")


def _expect(holds: bool, value: Any, name: str, expected: str) -> Any:
    if not holds:
        raise ValueError(f"config: {name}: expected {expected}, got {value!r}")
    return value
