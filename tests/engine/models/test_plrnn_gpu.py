"""The same fit on a GPU."""

import dataclasses
from pathlib import Path

import pytest
import torch

from neurorbit.engine.data import TimeSeries
from neurorbit.engine.models.plrnn import (
    EvaluationConfig,
    ForcingConfig,
    ModelConfig,
    PlrnnConfig,
    RegularisationConfig,
    evaluate_runs,
    fit,
    load,
    resume,
)
from neurorbit.engine.simulate import lorenz63
from neurorbit.engine.training.config import TrainingConfig

pytestmark = pytest.mark.gpu
SERIES = TimeSeries.from_arrays(lorenz63(600, noise=0.02, seed=3))
CONFIG = PlrnnConfig(
    steps=12,
    runs=3,
    training=TrainingConfig(batch_size=3, sequence_length=15, log_every=4, checkpoint_every=6, observation_noise=0.01),
    evaluation=EvaluationConfig(every_epochs=0),
)
VARIANTS = {
    "adaptive": dataclasses.replace(CONFIG, forcing=ForcingConfig(alpha=0.6, adaptive="product_upper_bound")),
    "upper bound": dataclasses.replace(CONFIG, forcing=ForcingConfig(alpha=0.6, adaptive="jacobian_upper_bound")),
    "affine": dataclasses.replace(
        CONFIG,
        model=ModelConfig(latent_dim=3, observation="affine"),
        regularisation=RegularisationConfig(observation=1e-3, latent=1e-3),
    ),
}


@pytest.mark.parametrize("name", VARIANTS)
def test_a_fit_on_the_gpu_follows_that_on_the_cpu(name: str) -> None:
    found = {d: fit(dataclasses.replace(VARIANTS[name], device=d), SERIES).fitted[0] for d in ("cpu", "cuda")}
    assert found["cuda"].model.A.is_cuda
    for (parameter, a), b in zip(found["cpu"].model.named_parameters(), found["cuda"].model.parameters(), strict=True):
        torch.testing.assert_close(a, b.cpu(), rtol=1e-3, atol=1e-4, msg=parameter)
    assert set(evaluate_runs([found["cuda"]], SERIES)["median"]) == {"d_stsp", "d_h", "pe_20", "lyapunov_max"}
    assert found["cuda"].generate(5).shape == (3, 5, 3)


def test_two_fits_on_the_gpu_are_bit_identical_and_a_finished_one_resumes(tmp_path: Path) -> None:
    config = dataclasses.replace(VARIANTS["adaptive"], device="cuda")
    for name in ("a", "b"):
        fit(config, SERIES, tmp_path / name)
    a, b = ((tmp_path / n / "best.safetensors").read_bytes() for n in ("a", "b"))
    assert a == b
    assert resume(tmp_path / "a", series=SERIES).status == "finished"
    assert load(tmp_path / "a", device="cuda")[0].model.A.is_cuda
