"""Adaptive forcing: every estimator against its formula in numpy and scipy."""

import numpy as np
import pytest
import scipy.linalg
import torch

from neurorbit.engine.models.plrnn import ModelConfig, Plrnn
from neurorbit.engine.models.plrnn.forcing import (
    arithmetic_mean,
    batch_jacobians,
    batch_maximum,
    explog,
    jacobian_upper_bound,
    product_upper_bound,
    spectral_norm,
    updated_alpha,
)

E, B, T = 2, 3, 5


def jacobians(M: int) -> torch.Tensor:
    """Near the identity, as those of a smooth flow; rows differ in size between models."""
    g = torch.Generator().manual_seed(M)
    noise = torch.randn(E, B, T, M, M, generator=g, dtype=torch.float64)
    return (torch.eye(M) + 0.3 * noise * torch.tensor([1.0, 2.0])[:, None, None, None, None] / M**0.5).float()


def norms(J: np.ndarray) -> np.ndarray:
    return np.linalg.norm(J, 2, axis=(-2, -1))


@pytest.mark.parametrize("M", [1, 2, 3, 4, 8, 9, 20])
def test_spectral_norm(M: int) -> None:
    J = torch.randn(500, M, M, generator=torch.Generator().manual_seed(0))
    found, expected = spectral_norm(J).numpy(), norms(J.double().numpy())
    np.testing.assert_allclose(found, expected, rtol=5e-3 if M > 3 else 1e-5)
    assert np.median(np.abs(found / expected - 1)) < 1e-5
    assert (found <= expected * (1 + 1e-5)).all()


def test_spectral_norm_of_special_matrices() -> None:
    for M in (1, 2, 3, 5):
        assert float(spectral_norm(torch.zeros(M, M))) == 0
        assert float(spectral_norm(0.5 * torch.eye(M))) == pytest.approx(0.5, rel=1e-6)
        assert float(spectral_norm(1e4 * torch.diag(torch.arange(1.0, M + 1)))) == pytest.approx(1e4 * M, rel=1e-5)


@pytest.mark.parametrize("M", [2, 3, 6])
def test_estimators(M: int) -> None:
    J = jacobians(M)
    n = J.double().numpy()
    np.testing.assert_allclose(batch_maximum(J), norms(n).max((1, 2)), rtol=2e-3)
    np.testing.assert_allclose(product_upper_bound(J), np.exp(np.log(norms(n)).mean(2)).max(1), rtol=2e-3)
    np.testing.assert_allclose(arithmetic_mean(J), norms(n.mean(2)).max(1), rtol=2e-3)
    logs = np.array([[[scipy.linalg.logm(n[e, b, t]) for t in range(T)] for b in range(B)] for e in range(E)])
    means = [[np.linalg.norm(scipy.linalg.expm(logs[e, b].mean(0)), 2) for b in range(B)] for e in range(E)]
    np.testing.assert_allclose(explog(J), np.max(means, 1), rtol=1e-4)


def test_the_geometric_mean_of_singular_jacobians() -> None:
    J = torch.diag_embed(torch.tensor([[0.5, 0.0, 2.0], [0.5, 1.0, 8.0]])).expand(1, 1, 2, 3, 3)
    assert float(explog(J)[0]) == pytest.approx(4.0, rel=1e-5)


def test_the_bound_from_the_weights() -> None:
    m = Plrnn(ModelConfig(latent_dim=4, hidden_dim=9), 3, seeds=range(3))
    found = jacobian_upper_bound(m.A.detach(), m.W1.detach(), m.W2.detach())
    for e in range(3):
        A, W1, W2 = (p[e].detach().numpy() for p in (m.A, m.W1, m.W2))
        assert float(found[e]) == pytest.approx(
            np.abs(A).max() + np.linalg.norm(W1, 2) * np.linalg.norm(W2, 2), rel=1e-5
        )
    direct = jacobian_upper_bound(m.A.detach(), m.W1.detach(), None)
    assert float(direct[0]) == pytest.approx(
        float(m.A[0].detach().abs().max()) + np.linalg.norm(m.W1[0].detach(), 2), rel=1e-5
    )


@pytest.mark.parametrize("cell", ["shallow", "shallow-clipped", "dendritic", "alrnn", "plrnn-mc"])
def test_jacobians_of_a_batch_are_those_of_the_model(cell: str) -> None:
    m = Plrnn(ModelConfig(cell=cell, latent_dim=4, hidden_dim=9), 3, seeds=range(3))  # type: ignore[arg-type]
    z = torch.randn(3, 2, 6, 4, generator=torch.Generator().manual_seed(1))
    arguments = m.cell_arguments()
    del arguments["C"]
    torch.testing.assert_close(batch_jacobians(z, arguments), m.jacobian(z).detach())


def test_alpha_rises_at_once_and_falls_slowly() -> None:
    alpha = torch.tensor([0.2, 0.9, 0.5, 0.5, 0.5, 0.5])
    norm = torch.tensor([2.0, 2.0, 0.5, torch.inf, torch.nan, 1.0])
    found = updated_alpha(alpha, norm, 0.001)
    expected = [0.5, 0.999 * 0.9 + 0.001 * 0.5, 0.999 * 0.5, 1.0, 0.5, 0.999 * 0.5]
    np.testing.assert_allclose(found, expected, rtol=1e-6)
