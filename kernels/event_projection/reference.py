"""Definition of event_projection in plain torch: the law that the numba and Triton twins are held to."""

import torch
from torch.nn.functional import pad


def recording(neurons, times, counts, starts, neuron_starts, n_bins, dtype):
    """The events as a dense matrix [R, N, T]; events of one neuron in one bin add up."""
    R = starts.numel() - 1
    N = (neuron_starts.numel() - 1) // R
    which = torch.repeat_interleave(torch.arange(R, device=starts.device), starts.diff())
    x = torch.zeros(R, N, n_bins, dtype=dtype, device=starts.device)
    return x.index_put_((which, neurons.long(), times.long()), counts.to(dtype), accumulate=True)


def forward(
    w, neurons, times, counts, starts, times_by_neuron, counts_by_neuron, neuron_starts, x, *, n_bins, padding
):  # fmt: skip
    """Responses (o [E, K, T'],) with T' = T + 2 P - W + 1: one matrix product over the neurons per lag."""
    if x is None:
        x = recording(neurons, times, counts, starts, neuron_starts, n_bins, w.dtype)
    W = w.shape[3]
    x = pad(x, (padding, padding))  # [R, N, T + 2 P]
    length = x.shape[2] - W + 1
    o = w.new_zeros(*w.shape[:2], length)
    for lag in range(W):
        o = o + w[..., lag] @ x[:, :, lag : lag + length]
    return (o,)
