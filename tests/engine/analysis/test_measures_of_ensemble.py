"""pe_n and evaluate on ensembles whose dynamics are known exactly, and the summary over runs."""

import math
from collections.abc import Mapping
from typing import Any

import pytest
import torch
from torch import Tensor

from neurorbit.engine.analysis import ensemble_lyapunov, evaluate, generate_orbit, median_mad, pe_n
from neurorbit.engine.analysis import evaluate as evaluate_function


class Rotations:
    """z' = growth R(angle) z + C u in the plane, one angle and growth per model; every observation is the state."""

    def __init__(self, angles: list[float], growth: list[float] | None = None, C: Tensor | None = None) -> None:
        a = torch.tensor(angles)
        self.J = torch.stack([a.cos(), -a.sin(), a.sin(), a.cos()], -1).view(-1, 2, 2)
        self.J = self.J * torch.tensor(growth or [1.0] * len(angles)).view(-1, 1, 1)
        self.C = C
        self.longest = 0

    @property
    def n_models(self) -> int:
        return len(self.J)

    def initial_state(self, x0: Tensor) -> Tensor:
        assert x0.shape[0] == self.n_models
        return x0

    def free_run(self, z0: Tensor, steps: int, keep_every: int = 1, u: Tensor | None = None) -> Tensor:
        z, kept = z0, []
        self.longest = max(self.longest, z0.numel() * (steps // keep_every))
        for t in range(steps):
            z = z @ self.J.mT
            if self.C is not None:
                assert u is not None
                assert u.shape[2] == steps
                z = z + u[:, :, t] @ self.C.T
            if (t + 1) % keep_every == 0:
                kept.append(z)
        return torch.stack(kept, 2)

    def observe(self, z: Tensor) -> Tensor:
        return z

    def jacobian(self, z: Tensor) -> Tensor:
        return self.J.view(self.n_models, *[1] * (z.dim() - 2), 2, 2).expand(*z.shape, 2)

    def cell_arguments(self) -> Mapping[str, Any]:
        return {}


def circle(angle: float, steps: int) -> Tensor:
    t = torch.arange(steps, dtype=torch.float64) * angle
    return torch.stack([t.cos(), t.sin()], -1)


def test_prediction_error_is_the_chord_of_the_angle_between() -> None:
    # n steps at an angle d too large leave the unit circle's point |2 sin(n d / 2)| away, averaged over two variables
    x = circle(0.1, 300)
    found = pe_n(Rotations([0.1, 0.12]), x, n=20)
    assert found[0].item() == pytest.approx(0, abs=1e-9)
    assert found[1].item() == pytest.approx((2 * math.sin(0.2)) ** 2 / 2, rel=1e-4)


def test_prediction_error_in_chunks_is_bounded_in_memory_and_the_same() -> None:
    x, model = circle(0.1, 300), Rotations([0.1, 0.12])
    whole = pe_n(model, x, n=5)
    model.longest = 0
    torch.testing.assert_close(pe_n(model, x, n=5, chunk=7), whole)
    assert model.longest <= 2 * 7 * 2


def test_prediction_error_leaves_out_what_is_missing() -> None:
    x = circle(0.1, 300)
    holes = x.clone()
    holes[50, 0] = holes[120:130] = torch.nan
    torch.testing.assert_close(pe_n(Rotations([0.12]), holes, n=3), pe_n(Rotations([0.12]), x, n=3), rtol=0.02, atol=0)
    known = []  # the definition, entry by entry
    for t in range(297):
        if not holes[t].isnan().any():
            end = Rotations([0.12]).free_run(holes[t].float().view(1, 1, 2), 3)[0, 0, -1].double()
            known += [float((a - b) ** 2) for a, b in zip(end, holes[t + 3], strict=True) if not b.isnan()]
    assert pe_n(Rotations([0.12]), holes, n=3).item() == pytest.approx(sum(known) / len(known), rel=1e-6)


def test_inputs_reach_the_steps_they_belong_to() -> None:
    C = torch.tensor([[1.0, 0.0], [0.5, -1.0]])
    u = torch.randn(60, 2, generator=torch.Generator().manual_seed(0))
    model = Rotations([0.3], C=C)
    rows = [torch.tensor([1.0, 0.0])]
    for t in range(1, 60):
        rows.append(model.J[0] @ rows[-1] + C @ u[t])
    x = torch.stack(rows)
    assert pe_n(model, x, n=4, u=u, chunk=11).item() < 1e-10
    orbit = generate_orbit(model, x, u)
    torch.testing.assert_close(orbit[0, :-1], x[1:], atol=1e-5, rtol=1e-5)
    assert pe_n(model, x, n=4, u=u.roll(1, 0)).item() > 0.1


def test_generated_orbit_starts_after_a_quarter_of_the_length() -> None:
    x = circle(0.1, 100)
    orbit = generate_orbit(Rotations([0.1, 0.2]), x)
    assert orbit.shape == (2, 100, 2)
    torch.testing.assert_close(orbit[0].double(), circle(0.1, 126)[26:], atol=1e-4, rtol=0)
    torch.testing.assert_close(orbit[1].double(), circle(0.2, 126)[26:], atol=1e-4, rtol=0)


def test_blocks_of_time_join_without_a_seam(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    module = sys.modules[evaluate_function.__module__]
    x, model = circle(0.1, 400), Rotations([0.1, 0.2], [1.0, 0.999])
    orbit, exponents = generate_orbit(model, x), ensemble_lyapunov(model, x, steps=200, n_orbits=3)
    monkeypatch.setattr(module, "ORBIT_ELEMENTS", 64)
    monkeypatch.setattr(module, "JACOBIAN_ELEMENTS", 64)
    torch.testing.assert_close(generate_orbit(model, x), orbit)
    torch.testing.assert_close(ensemble_lyapunov(model, x, steps=200, n_orbits=3), exponents, atol=1e-7, rtol=0)


def test_evaluate_gives_every_model_its_own_numbers() -> None:
    x = circle(0.1, 2000)
    model = Rotations([0.1, 0.5, 0.1], [1.0, 1.0, 2.0])
    found = evaluate(model, x, n_ahead=7, dt=0.5, lyapunov_steps=500)
    assert set(found) == {"d_stsp", "d_h", "pe_7", "lyapunov", "lyapunov_max", "variants", "dropped_rows"}
    for name in ("d_stsp", "d_h", "lyapunov_max"):
        assert found[name].isnan().tolist() == [False, False, True], name  # the third model diverges
    assert found["d_h"][0] < 0.02
    assert found["d_h"][1] > 0.9
    assert found["pe_7"][0] < 1e-9
    assert found["pe_7"][2] > 1e3
    torch.testing.assert_close(found["lyapunov"][:2], torch.zeros(2, 2, dtype=torch.float64), atol=1e-6, rtol=0)
    assert found["variants"]["d_stsp"] == "gtf2023-binned"
    assert found["variants"]["d_h"] == "gtf2023"
    assert found["dropped_rows"] == 0


def test_exponents_are_per_unit_of_time() -> None:
    x = circle(0.1, 100)
    found = evaluate(Rotations([0.1, 0.3], [0.9, 0.8]), x, dt=0.01, measures=("lyapunov",), lyapunov_steps=100)
    expected = torch.tensor([0.9, 0.8], dtype=torch.float64).log() / 0.01
    torch.testing.assert_close(found["lyapunov"], expected[:, None].expand(2, 2), rtol=1e-4, atol=0)
    assert "d_stsp" not in found


def test_missing_rows_are_counted_and_the_rest_is_used() -> None:
    x = circle(0.1, 2000)
    x[[0, 77, 1500]] = torch.nan
    found = evaluate(Rotations([0.1]), x, lyapunov_steps=50)
    assert found["dropped_rows"] == 3
    assert found["pe_20"].item() < 1e-9
    assert found["d_stsp"].item() < 1.0


def test_bad_arguments_are_named() -> None:
    x, model = circle(0.1, 100), Rotations([0.1])
    with pytest.raises(ValueError, match="measures: expected some of"):
        evaluate(model, x, measures=("d_stps",))
    with pytest.raises(ValueError, match="n: expected 1 <= n < T=100"):
        pe_n(model, x, n=100)
    with pytest.raises(ValueError, match=r"u: expected \[T=100, U\], got \[99, 2\]"):
        pe_n(model, x, u=torch.zeros(99, 2))
    with pytest.raises(ValueError, match="u: contains NaN or inf"):
        pe_n(model, x, u=torch.full((100, 1), torch.nan))
    with pytest.raises(ValueError, match="no row without NaN"):
        pe_n(model, torch.full((100, 2), torch.nan))
    with pytest.raises(ValueError, match="dt:"):
        ensemble_lyapunov(model, x, dt=-1)


def test_median_and_mad_over_the_finite_runs() -> None:
    values = torch.tensor(
        [[1.0, torch.nan], [2.0, torch.nan], [4.0, torch.inf], [torch.nan, torch.nan], [9.0, torch.nan]]
    )
    found = median_mad(values)
    assert found.median[0] == 3.0  # of 1, 2, 4, 9
    assert found.mad[0] == 1.5  # of 2, 1, 1, 6
    assert found.n_finite.tolist() == [4, 0]
    assert found.median[1].isnan()
    assert found.mad[1].isnan()
    assert median_mad([5.0]).median == 5.0
    with pytest.raises(ValueError, match="values:"):
        median_mad([])


def test_a_plrnn_is_measured_through_the_same_protocol() -> None:
    from neurorbit.engine.models.plrnn.config import ModelConfig
    from neurorbit.engine.models.plrnn.model import Plrnn

    model = Plrnn(ModelConfig(cell="shallow-clipped", latent_dim=3, hidden_dim=8), 2, seeds=(1, 2))
    x = circle(0.1, 400)
    found = evaluate(model, x, lyapunov_steps=200, lyapunov_orbits=2)
    assert all(torch.isfinite(found[name]).all() for name in ("d_stsp", "d_h", "pe_20", "lyapunov_max"))
    assert found["lyapunov"].shape == (2, 3)
    assert not any(value.requires_grad for value in found.values() if isinstance(value, Tensor))
    z = model.initial_state(x[None, :1].float())
    states = torch.cat([z, model.free_run(z, 20)[:, :, -1]], 1)  # the definition for the first start alone
    expected = (model.observe(states[:, 1]) - x[20]).square().mean(-1).detach().double()
    torch.testing.assert_close(pe_n(model, x[:21]), expected, rtol=1e-5, atol=0)
