"""Settings to JSON and back; a mistake is named."""

import dataclasses
import json

import pytest

from neurorbit.engine.models.plrnn.config import ForcingConfig, GridConfig, PlrnnConfig
from neurorbit.engine.training.settings import from_dict, to_dict

CONFIG = PlrnnConfig(seed=4, forcing=ForcingConfig(alpha=1), grid=GridConfig(alpha=(0.1, 0.2), interval=(3,)))


def test_round_trip_through_json() -> None:
    assert from_dict(PlrnnConfig, json.loads(json.dumps(to_dict(CONFIG)))) == CONFIG


@pytest.mark.parametrize(
    ("section", "name", "value", "message"),
    [
        (None, "stpes", 3, "unknown setting 'stpes'"),
        ("forcing", "strength", 3, r"unknown setting 'forcing\.strength'"),
        ("forcing", "alpha", "much", r"forcing\.alpha: expected a float, got 'much'"),
        ("model", "cell", "lstm", r"model\.cell: expected one of plrnn, .*got 'lstm'"),
        ("model", "latent_dim", True, r"model\.latent_dim: expected a int"),
        ("grid", "alpha", 0.5, r"grid\.alpha: expected a list"),
        (None, "model", 5, r"expected an object at model\."),
    ],
)
def test_a_mistake_is_named(section: str | None, name: str, value: object, message: str) -> None:
    values = to_dict(CONFIG)
    (values if section is None else values[section])[name] = value
    with pytest.raises(ValueError, match=message):
        from_dict(PlrnnConfig, values)


@pytest.mark.parametrize(
    ("section", "change", "message"),
    [
        ("forcing", {"alpha": 1.01}, r"forcing\.alpha: expected 0 to 1, got 1\.01"),
        ("forcing", {"alpha": float("nan")}, r"forcing\.alpha"),
        ("training", {"learning_rate": 0.0}, r"training\.learning_rate: expected > 0"),
        ("training", {"learning_rate": float("inf")}, r"training\.learning_rate"),
        ("training", {"batch_size": 0}, r"training\.batch_size: expected >= 1, got 0"),
        ("model", {"latent_dim": 257}, r"model\.latent_dim: expected 1 to 256"),
        ("model", {"cell": "alrnn", "n_relu": 4}, r"model\.n_relu: expected 0 to M=3"),
        ("regularisation", {"observation": 1.0}, r"regularisation\.observation: needs .*affine"),
        ("evaluation", {"dt": 0.0}, r"evaluation\.dt"),
    ],
)
def test_ranges(section: str, change: dict[str, object], message: str) -> None:
    config = PlrnnConfig()
    config = dataclasses.replace(config, **{section: dataclasses.replace(getattr(config, section), **change)})
    with pytest.raises(ValueError, match=message):
        config.check()
