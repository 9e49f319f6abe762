"""Lyapunov spectra against systems whose exponents are known."""

import math

import pytest
import torch

from neurorbit.engine.analysis import LyapunovSum, lyapunov_spectrum


def henon(n_orbits: int, steps: int) -> torch.Tensor:
    z = torch.zeros(1, n_orbits, 2, dtype=torch.float64)
    z[..., 0] = torch.linspace(-0.1, 0.1, n_orbits)
    states = []
    for _ in range(steps + 100):
        z = torch.stack([1 - 1.4 * z[..., 0] ** 2 + z[..., 1], 0.3 * z[..., 0]], -1)
        states.append(z)
    return torch.stack(states[100:], 2)


def henon_jacobian(z: torch.Tensor) -> torch.Tensor:
    one = torch.ones_like(z[..., 0])
    rows = [torch.stack([-2.8 * z[..., 0], one], -1), torch.stack([0.3 * one, 0 * one], -1)]
    return torch.stack(rows, -2)


def lorenz_step(z: torch.Tensor, dt: float = 0.01) -> torch.Tensor:
    def field(x: torch.Tensor) -> torch.Tensor:
        a, b, c = x.unbind(-1)
        return torch.stack([10 * (b - a), a * (28 - c) - b, a * b - 8 / 3 * c], -1)

    k1 = field(z)
    k2 = field(z + dt / 2 * k1)
    k3 = field(z + dt / 2 * k2)
    return z + dt / 6 * (k1 + 2 * k2 + 2 * k3 + field(z + dt * k3))


def test_diagonal_maps_give_the_logs_of_their_factors_per_time_unit() -> None:
    factors = torch.tensor([[2.0, 0.5, 0.1], [0.9, 1.0, 3.0]], dtype=torch.float64)
    J = torch.diag_embed(factors)
    orbit = torch.zeros(2, 1, 50, 3)
    spectrum = lyapunov_spectrum(orbit, lambda z: J[:, None, None].expand(*z.shape, 3), dt=0.1)
    expected = (factors.log() / 0.1).sort(-1, descending=True).values
    torch.testing.assert_close(spectrum[:, 0], expected)


def test_linear_map_gives_the_log_moduli_of_its_eigenvalues() -> None:
    J = torch.randn(6, 6, generator=torch.Generator().manual_seed(1), dtype=torch.float64) / 2
    orbit = torch.zeros(1, 1, 4000, 6)
    spectrum = lyapunov_spectrum(orbit, lambda z: J.expand(*z.shape, 6), transient=500)
    expected = torch.linalg.eigvals(J).abs().log().sort(descending=True).values
    torch.testing.assert_close(spectrum[0, 0], expected, atol=2e-3, rtol=0)


def test_henon_map() -> None:
    spectrum = lyapunov_spectrum(henon(20, 2000), henon_jacobian)
    assert spectrum.shape == (1, 20, 2)
    mean = spectrum.mean((0, 1))
    assert mean[0].item() == pytest.approx(0.419, abs=0.005)
    assert mean[1].item() == pytest.approx(-1.623, abs=0.005)
    torch.testing.assert_close(spectrum.sum(-1), torch.full((1, 20), math.log(0.3), dtype=torch.float64))


def test_lorenz_63_by_rk4() -> None:
    z = torch.randn(1, 40, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64) * 5 + 10
    states = []
    for i in range(4000):
        z = lorenz_step(z)
        if i >= 1000:
            states.append(z)

    def jacobian(x: torch.Tensor) -> torch.Tensor:
        flat = x.reshape(-1, 3).requires_grad_()
        out = lorenz_step(flat)
        rows = [torch.autograd.grad(out[:, i].sum(), flat, retain_graph=True)[0] for i in range(3)]
        return torch.stack(rows, -2).reshape(*x.shape, 3)

    spectrum = lyapunov_spectrum(torch.stack(states, 2), jacobian, dt=0.01, transient=500).mean((0, 1))
    assert spectrum[0].item() == pytest.approx(0.906, rel=0.02)
    assert spectrum[1].item() == pytest.approx(0.0, abs=0.02)
    assert spectrum.sum().item() == pytest.approx(-41 / 3, rel=1e-3)


@pytest.mark.parametrize("every", [1, 3, 7])
def test_steps_between_decompositions_do_not_change_the_sum(every: int) -> None:
    orbit = henon(3, 500)
    torch.testing.assert_close(
        lyapunov_spectrum(orbit, henon_jacobian, every=every),
        lyapunov_spectrum(orbit, henon_jacobian, every=1),
        atol=1e-9,
        rtol=0,
    )


def test_blocks_of_any_length_equal_the_whole() -> None:
    J = henon_jacobian(henon(2, 101))
    whole, parts = LyapunovSum(every=4), LyapunovSum(every=4)
    whole.add(J)
    for piece in J.split([1, 30, 2, 68], 2):
        parts.add(piece)
    torch.testing.assert_close(parts.spectrum(), whole.spectrum(), atol=1e-9, rtol=0)


def test_strong_contraction_is_not_lost_in_rounding() -> None:
    factors = torch.tensor([1.5, 1e-5], dtype=torch.float64)
    turn = torch.linalg.qr(torch.randn(2, 2, generator=torch.Generator().manual_seed(3), dtype=torch.float64)).Q
    J = turn @ torch.diag(factors) @ turn.T
    spectrum = lyapunov_spectrum(torch.zeros(1, 1, 2000, 2), lambda z: J.expand(*z.shape, 2), transient=100)
    torch.testing.assert_close(spectrum[0, 0], factors.log(), atol=1e-6, rtol=0)


def test_leading_exponents_alone_agree_with_the_whole_spectrum() -> None:
    orbit = henon(4, 800)
    whole = lyapunov_spectrum(orbit, henon_jacobian, transient=50)
    first = lyapunov_spectrum(orbit, henon_jacobian, transient=50, n_exponents=1)
    torch.testing.assert_close(first, whole[..., :1])


def test_models_and_orbits_do_not_touch_each_other() -> None:
    orbit = henon(3, 300)
    spoilt = torch.cat([orbit, orbit])
    spoilt[1, 2, 100:] = torch.nan
    spectrum = lyapunov_spectrum(spoilt, henon_jacobian, every=2)
    alone = lyapunov_spectrum(orbit, henon_jacobian, every=2)
    assert spectrum[1, 2].isnan().all()
    torch.testing.assert_close(spectrum[0], alone[0])
    torch.testing.assert_close(spectrum[1, :2], alone[0, :2])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"dt": 0.0}, "dt:"),
        ({"transient": 300}, "transient:"),
        ({"n_exponents": 3}, "n_exponents:"),
        ({"every": 0}, "every:"),
    ],
)
def test_bad_arguments_are_named(arguments: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        lyapunov_spectrum(henon(1, 300), henon_jacobian, **arguments)  # type: ignore[arg-type]
