"""The stacked PLRNN: sizes, initial values, observation models, loss and gradients."""

import math
from typing import get_args

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from neurorbit.bindings.rollout_plrnn import CELLS, DENDRITIC_CELLS, HIDDEN_CELLS
from neurorbit.engine.models.plrnn import PRESETS, ModelConfig, Plrnn, RegularisationConfig
from neurorbit.engine.models.plrnn.config import Cell
from neurorbit.engine.models.plrnn.initialise import OFF_DIAGONAL_CELLS
from neurorbit.engine.models.plrnn.model import mean_squared_error
from neurorbit.engine.models.plrnn.regularise import Regulariser


def model(cell: str = "shallow-clipped", N: int = 3, M: int = 3, E: int = 2, **options: object) -> Plrnn:
    inputs = options.pop("n_inputs", 0)
    config = ModelConfig(cell=cell, latent_dim=M, hidden_dim=7, n_bases=4, **options)  # type: ignore[arg-type]
    return Plrnn(config, N, n_inputs=inputs, seeds=range(E), backend="reference")  # type: ignore[arg-type]


def data(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def factors(E: int, **values: float) -> dict[str, torch.Tensor]:
    names = ("latent", "observation", "manifold", "stability")
    return {n: torch.full((E,), values.get(n, 0.0)) for n in names}


def test_the_settings_name_the_cells_of_the_op() -> None:
    assert get_args(Cell) == CELLS


@pytest.mark.parametrize(("preset", "N", "count"), [("ecg", 5, 2785), ("eeg", 64, 17952), ("lorenz63", 3, 706)])
def test_presets_have_the_published_number_of_parameters(preset: str, N: int, count: int) -> None:
    assert Plrnn(PRESETS[preset].model, N).n_parameters() == count


@pytest.mark.parametrize("cell", CELLS)
def test_a_model_of_an_ensemble_starts_as_it_would_alone(cell: str) -> None:
    config = ModelConfig(cell=cell, latent_dim=5)  # type: ignore[arg-type]
    stack = Plrnn(config, 3, n_inputs=2, seeds=(4, 9, 7))
    alone = Plrnn(config, 3, n_inputs=2, seeds=(9,))
    for (name, many), one in zip(stack.named_parameters(), alone.parameters(), strict=True):
        assert torch.equal(many[1], one[0]), name
    assert not torch.equal(stack.A[0], stack.A[1])


@pytest.mark.parametrize("cell", CELLS)
def test_initial_values_lie_where_they_should(cell: str) -> None:
    config = ModelConfig(cell=cell, latent_dim=6, hidden_dim=40, n_bases=9)  # type: ignore[arg-type]
    m = Plrnn(config, 4, n_inputs=3, seeds=range(20), data_range=(-1.5, 2.5))
    assert torch.equal(m.h1, torch.zeros(20, 6))
    if cell in HIDDEN_CELLS:
        assert m.W1.abs().max() <= 1 / math.sqrt(40) < m.W1.abs().max() * 1.01
        assert m.W2.abs().max() <= 1 / math.sqrt(6) < m.W2.abs().max() * 1.01
        spread = m.h2.abs().max()
        assert spread == 0 if cell == "shallow" else 0.99 / math.sqrt(40) < spread <= 1 / math.sqrt(40)
    else:
        assert torch.equal(m.W1.diagonal(dim1=1, dim2=2), torch.zeros(20, 6))
        K = m.W1 + torch.diag_embed(m.A)
        values = torch.linalg.eigvalsh(K.double())
        torch.testing.assert_close(values[:, -1], torch.ones(20, dtype=torch.float64), rtol=0, atol=1e-6)
        assert values.min() > 0
    if cell in DENDRITIC_CELLS:
        assert -1.5 <= m.thresholds.min() < -1.4 and 2.4 < m.thresholds.max() <= 2.5
        assert m.alpha.abs().max() <= 1 / 3
    assert m.C.abs().max() <= math.sqrt(6 / 9) < 1.1 * m.C.abs().max()
    assert m.observation.L.shape == (20, 2, 4)  # type: ignore[union-attr]


@pytest.mark.parametrize("cell", OFF_DIAGONAL_CELLS)
def test_the_diagonal_of_w_gets_no_gradient(cell: str) -> None:
    m = model(cell, N=3, M=4)
    m.loss(data(2, 5, 6, 3), forcing_alpha=0.5).sum().backward()
    assert m.W1.grad is not None
    assert torch.equal(m.W1.grad.diagonal(dim1=1, dim2=2), torch.zeros(2, 4))
    assert (m.W1.grad.abs().sum((1, 2)) > 0).all()


def shallow_step(m: Plrnn, e: int, z: np.ndarray) -> np.ndarray:
    A, W1, W2, h1, h2 = (getattr(m, n)[e].detach().numpy() for n in ("A", "W1", "W2", "h1", "h2"))
    hidden = np.maximum(z @ W2.T + h2, 0) - np.maximum(z @ W2.T, 0)
    return A * z + hidden @ W1.T + h1


@pytest.mark.parametrize("alpha", [0.0, 0.3, 1.0])
def test_the_loss_is_that_of_the_published_algorithm(alpha: float) -> None:
    m, x = model(M=4), data(2, 5, 9, 3)
    found = m.loss(x, forcing_alpha=torch.full((2,), alpha), partial=True)
    for e in range(2):
        L = m.observation.L[e].detach().numpy()  # type: ignore[union-attr,index]
        rows = x[e].numpy()
        z = np.concatenate([rows[:, 0], rows[:, 0] @ L.T], 1)
        errors = []
        for t in range(1, 9):
            z = shallow_step(m, e, z)
            errors.append((z[:, :3] - rows[:, t]) ** 2)
            z[:, :3] = (1 - alpha) * z[:, :3] + alpha * rows[:, t]
        assert float(found[e].detach()) == pytest.approx(np.mean(errors), rel=1e-5)


def test_all_states_of_the_identity_model_are_forced_towards_zero_when_asked() -> None:
    m, x = model(M=5), data(2, 4, 3, 3)
    one_step = m.rollout(x[:, :, 1:], forcing_alpha=1.0, partial=False)  # from rows 1: hidden states L x
    two = m.rollout(x, forcing_alpha=1.0, partial=False)
    zeros = torch.cat([x[:, :, 1], torch.zeros(2, 4, 2)], -1)
    expected = np.stack([shallow_step(m, e, zeros[e].numpy()) for e in range(2)])
    np.testing.assert_allclose(two[:, :, 1].detach().numpy(), expected, rtol=1e-5, atol=1e-6)
    assert not torch.allclose(one_step[:, :, 0], two[:, :, 1])


def test_missing_values_and_lengths_take_no_part_in_the_loss() -> None:
    predicted, x = data(2, 3, 6, 4), data(2, 3, 6, 4, seed=1)
    lengths = torch.tensor([[6, 2, 4], [1, 6, 3]])
    hole = x.clone()
    hole[0, 1, 0] = torch.nan
    hole[1, 2, 1, 3] = torch.nan
    found = mean_squared_error(predicted, hole, lengths)
    for e in range(2):
        there = ~np.isnan(hole[e].numpy()) & (np.arange(6)[None, :, None] < lengths[e].numpy()[:, None, None])
        expected = ((predicted - x)[e].numpy() ** 2)[there].mean()
        assert float(found[e]) == pytest.approx(expected, rel=1e-6)
    torch.testing.assert_close(mean_squared_error(predicted, x), (predicted - x).square().mean((1, 2, 3)))


@pytest.mark.parametrize("observation", ["identity", "affine"])
def test_missing_values_leave_finite_gradients(observation: str) -> None:
    m, x = model(N=4, M=4, observation=observation), data(2, 3, 8, 4)
    x[0, 0, 0] = torch.nan  # a start
    x[0, 1, 3, 2] = torch.nan
    x[1, 2, 5] = torch.nan
    m.loss(x, forcing_alpha=0.3, partial=False).sum().backward()
    for name, p in m.named_parameters():
        assert p.grad is not None and bool(p.grad.isfinite().all()), name


@pytest.mark.parametrize(("N", "M", "bias"), [(5, 3, True), (3, 3, False), (3, 5, True)])
def test_affine_forcing_is_the_pseudo_inverse_and_is_differentiated_through(N: int, M: int, bias: bool) -> None:
    m = model(N=N, M=M, observation="affine", observation_bias=bias).double()
    x = data(2, 2, 4, N).double()
    B = m.observation.B.detach().numpy()  # type: ignore[union-attr,operator]
    if bias:
        m.observation.b.data += 0.3  # type: ignore[union-attr,operator]
    z0, signal = m.observation.forcing_signals(x, partial=False)
    z_hat = torch.cat([z0[:, :, None], signal], 2).detach().numpy()
    for e in range(2):
        expected = (x[e].numpy() - (0.3 if bias else 0)) @ np.linalg.pinv(B[e]).T
        np.testing.assert_allclose(z_hat[e], expected, rtol=1e-9, atol=1e-10)

    parameters = [p for n, p in m.named_parameters() if n.startswith("observation")]

    def loss(*_: torch.Tensor) -> torch.Tensor:
        return m.loss(x, forcing_alpha=0.4, partial=False)

    assert torch.autograd.gradcheck(loss, tuple(parameters), atol=1e-6, rtol=1e-4)


def test_partial_forcing_of_an_affine_model_acts_on_the_first_states() -> None:
    m, x = model(N=2, M=4, observation="affine"), data(2, 3, 5, 2)
    z0, every = m.observation.forcing_signals(x, partial=False)
    first = m.observation.forcing_signals(x, partial=True)[1]
    assert z0.shape == (2, 3, 4) and every.shape == (2, 3, 4, 4) and torch.equal(first, every[..., :2])


def test_penalties_by_hand() -> None:
    m = model(M=4, E=3, N=3)
    config = RegularisationConfig(manifold_fraction=0.5)
    with torch.no_grad():
        m.h1 += data(3, 4, seed=5)
        m.A[1] = torch.tensor([1.5, -1.2, 0.3, 0.9])
    values = factors(3, latent=0.01, manifold=0.1, stability=2.0)
    values["latent"] = torch.tensor([0.01, 0.0, 0.02])
    found = Regulariser(m, config, values).terms()
    for e in range(3):
        p = {n: getattr(m, n)[e].detach().double() for n in ("A", "W1", "h1", "W2", "h2")}
        latent = (1 - p["A"]).square().sum() + sum(p[n].square().sum() for n in ("W1", "h1", "W2", "h2"))
        rows = (1 - p["A"][2:]).square().sum() + p["W1"][2:].square().sum() + p["h1"][2:].square().sum()
        expected = float(values["latent"][e]) * float(latent) + 0.1 * float(rows)
        assert float(found["regularisation"][e].detach()) == pytest.approx(expected, rel=1e-5)
    assert found["stability"].tolist() == pytest.approx([0, 2 * (0.5**2 + 0.2**2), 0], rel=1e-5)
    sizes = Regulariser(m, RegularisationConfig(norm="l1"), factors(3, latent=1.0)).terms()["regularisation"]
    expected = (1 - m.A).abs().sum(1) + sum(getattr(m, n).abs().flatten(1).sum(1) for n in ("W1", "h1", "W2", "h2"))
    torch.testing.assert_close(sizes, expected)


def test_the_condition_penalty_by_hand() -> None:
    m = model(N=4, M=2, observation="affine")
    found = Regulariser(m, RegularisationConfig(), factors(2, observation=0.5)).terms()
    for e in range(2):
        s = np.linalg.svd(m.observation.B[e].detach().numpy(), compute_uv=False)  # type: ignore[union-attr,index]
        assert float(found["condition"][e].detach()) == pytest.approx(0.5 * (1 - s[0] / s[-1]) ** 2, rel=1e-4)
    assert Regulariser(m, RegularisationConfig(), factors(2)).terms() == {}


@pytest.mark.parametrize("cell", CELLS)
def test_a_free_run_is_a_rollout_without_forcing_and_its_slope_the_jacobian(cell: str) -> None:
    m, x = model(cell, N=3, M=4, n_inputs=2), data(2, 5, 7, 3)
    u = data(2, 5, 7, 2, seed=3)
    z = m.rollout(x, u)
    free = m.free_run(m.initial_state(x[:, :, 0]), 6, u=u[:, :, 1:])
    torch.testing.assert_close(z, free)
    torch.testing.assert_close(
        m.free_run(m.initial_state(x[:, :, 0]), 6, keep_every=3, u=u[:, :, 1:]), free[:, :, [2, 5]]
    )
    start = data(2, 1, 4, seed=4)
    J = m.jacobian(start)[:, 0]
    inputs = torch.zeros(2, 1, 1, 2)
    step = 1e-3
    for i in range(4):
        bump = torch.zeros(4)
        bump[i] = step
        slope = (m.free_run(start + bump, 1, u=inputs) - m.free_run(start - bump, 1, u=inputs))[:, 0, 0] / (2 * step)
        torch.testing.assert_close(J[:, :, i], slope, rtol=1e-3, atol=1e-3)


def test_mistakes_are_named() -> None:
    with pytest.raises(ValueError, match=r"latent_dim: expected at least N=5 .*affine"):
        model(N=5, M=3)
    with pytest.raises(ValueError, match="seeds"):
        Plrnn(ModelConfig(), 3, seeds=())
    with pytest.raises(ValueError, match=r"x: expected \[E or 1, B, T \+ 1, N=3\], got \[2, 4, 5, 2\]"):
        model().loss(data(2, 4, 5, 2))
    with pytest.raises(ValueError, match="u: expected 0 inputs, got 2"):
        model().loss(data(2, 4, 5, 3), data(2, 4, 5, 2))
    with pytest.raises(ValueError, match="u: expected 2 inputs, got none"):
        model(n_inputs=2).loss(data(2, 4, 5, 3))
    with pytest.raises(ValueError, match=r"forcing_alpha: expected a value in \[0, 1\]"):
        model().loss(data(2, 4, 5, 3), forcing_alpha=1.5)


@settings(max_examples=40, deadline=None)
@given(
    cell=st.sampled_from(CELLS),
    sizes=st.tuples(*(st.integers(1, 4) for _ in range(4))),
    hidden=st.integers(0, 2),
    lengths=st.booleans(),
    missing=st.booleans(),
    alpha=st.floats(0, 1),
)
def test_any_shape_gives_each_model_the_loss_it_has_alone(
    cell: Cell, sizes: tuple[int, int, int, int], hidden: int, lengths: bool, missing: bool, alpha: float
) -> None:
    E, B, T, N = sizes
    config = ModelConfig(cell=cell, latent_dim=N + hidden, hidden_dim=3, n_relu=1, n_bases=2)
    stack = Plrnn(config, N, seeds=range(E), backend="reference")
    x = data(E, B, T + 1, N, seed=B)
    if missing:
        x[:, 0, T, 0] = torch.nan
    long = torch.randint(1, T + 1, (E, B), generator=torch.Generator().manual_seed(T)) if lengths else None
    found = stack.loss(x, forcing_alpha=alpha, lengths=long).detach()
    assert found.shape == (E,) and bool(found.isfinite().all())
    for e in range(E):
        alone = Plrnn(config, N, seeds=(e,), backend="reference")
        one = alone.loss(x[e : e + 1], forcing_alpha=alpha, lengths=None if long is None else long[e : e + 1])
        torch.testing.assert_close(one.detach(), found[e : e + 1], rtol=1e-5, atol=1e-6)
