"""Dense paths over the matrix [N, T]: conv2d as published, conv1d over channels, products of Fourier transforms."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch
from scipy.fft import next_fast_len
from torch import Tensor
from torch.nn.functional import conv1d, conv2d

from benchmarks.torch_phases import training_phases
from benchmarks.workload import Inputs, Prepared, Workload

Response = Callable[[Tensor], Tensor]


def by_conv2d(x: Tensor, padding: int, W: int) -> Response:
    """The recording as one image of N rows, the filters as images of the same height."""
    image = x[:, None]  # [1, 1, N, T]
    return lambda w: conv2d(image, w[0][:, None], padding=(0, padding))[:, :, 0]


def by_conv1d(x: Tensor, padding: int, W: int) -> Response:
    """Neurons as channels."""
    return lambda w: conv1d(x, w[0], padding=padding)


def by_fft(x: Tensor, padding: int, W: int) -> Response:
    """Transforms over time per neuron, summed over the neurons before the one transform back."""
    length = x.shape[2] + 2 * padding
    size = next_fast_len(length, real=True)
    spectrum = torch.fft.rfft(torch.nn.functional.pad(x[0], (padding, padding)), size)  # [N, S], once for all steps

    def response(w: Tensor) -> Tensor:
        product = torch.einsum("ns,kns->ks", spectrum, torch.fft.rfft(w[0], size).conj())
        return torch.fft.irfft(product, size)[None, :, : length - W + 1]

    return response


class Dense:
    """One of the paths, for one model."""

    def __init__(
        self, name: str, path: Callable[[Tensor, int, int], Response], most_filters: int = 1000, *, slow: bool = False
    ) -> None:
        self.name, self.path, self.most_filters, self.slow = name, path, most_filters, slow

    def missing(self, workload: Workload, device: str) -> str | None:
        if workload.sizes["E"] > 1:
            return "one model at a time"
        return None if workload.sizes["K"] <= self.most_filters else "minutes for so many filters"

    def prepare(self, workload: Workload, inputs: Inputs) -> Prepared:
        respond = self.path(inputs["x"], workload.options["padding"], workload.sizes["W"])
        leaf = inputs["w"].detach().clone().requires_grad_()
        prepared = training_phases(lambda: respond(leaf), {"w": leaf}, inputs["target"])
        return replace(prepared, phases={"step": prepared.phases["step"]}) if self.slow else prepared


CONV2D = Dense("conv2d, as published", by_conv2d, 1, slow=True)  # 10 s a step: the step alone
CONV1D = Dense("conv1d", by_conv1d)
FFT = Dense("FFT", by_fft)
