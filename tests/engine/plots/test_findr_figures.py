"""Figures of FINDR: what is drawn of which numbers."""

import numpy as np
import pytest
import torch

from neurorbit.engine.analysis.psth import Psth
from neurorbit.engine.plots.findr_fit import fold_measures, latent_dimensions, psths, shown_neurons


def row(M: int, fold: int, bits: float | None, co: float | None) -> dict[str, object]:
    return {"latent_dim": M, "fold": fold, "validation": {"bits_per_spike": bits, "co_bits_per_spike": co}}


def test_latent_dimensions_draw_the_best_model_of_each_fold_and_their_mean() -> None:
    rows = [row(1, 0, 0.1, 0.05), row(1, 0, 0.3, 0.2), row(1, 2, 0.5, 0.4), row(3, 0, 0.4, None), row(3, 2, None, 0.9)]
    own, held = latent_dimensions(rows).axes
    lines = [line.get_ydata() for line in own.get_lines()]
    np.testing.assert_allclose(np.array(lines, float), [[0.3, 0.4], [0.5, np.nan], [0.4, 0.4]])
    co = np.array([line.get_ydata() for line in held.get_lines()], float)
    np.testing.assert_allclose(co, [[0.2, np.nan], [0.4, np.nan], [0.3, np.nan]])
    assert own.get_xticks().tolist() == [1, 3] and own.get_title(loc="left") == "validation trials"


@pytest.mark.parametrize(("conditions", "labels"), [
    ([0, 1], {"choice 0, recorded", "choice 0, fitted", "choice 1, recorded", "choice 1, fitted"}),
    ([0], {"recorded", "fitted"}),
])  # fmt: skip
def test_psths_name_the_choices_where_there_are_several(conditions: list[int], labels: set[str]) -> None:
    mean = torch.arange(len(conditions) * 5 * 3).float().view(-1, 5, 3)
    found = Psth(mean, mean - 1, mean + 1, torch.ones(len(conditions), 5), torch.tensor(conditions))
    figure = psths(found, found, shown_neurons(found), bin_s=0.01)
    assert {text.get_text() for text in figure.legends[0].get_texts()} == labels
    assert [axes.get_title(loc="left") for axes in figure.axes] == ["neuron 0", "neuron 1", "neuron 2"]
    np.testing.assert_allclose(figure.axes[1].get_lines()[0].get_ydata(), mean[0, :, 1])


def test_measures_that_nobody_knows_are_left_out() -> None:
    part = {"nll": 2.0, "co_bits_per_spike": None}
    folds = [{"fold": 0, "validation": part, "test": part}]
    figure = fold_measures({"folds": folds, "mean": {"validation": part, "test": part}})
    assert [axes.get_title(loc="left") for axes in figure.axes] == ["nll"]
