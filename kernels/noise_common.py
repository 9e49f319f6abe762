"""Counter-based normal noise: a draw is a function of (seed, stream, step, unit) alone, the same on every backend.

Philox4x32-10 (Salmon, Moraes, Dror and Shaw 2011) with key = seed and counter = (c, step, low and high half of stream).
Of the four words x of counter c = 16 (unit // 64) + unit % 16, block i = (unit // 16) % 4 takes those of its pair
(x_0, x_1) for i < 2 and (x_2, x_3) otherwise: with the upper 23 bits of each, p and q,
R = sqrt(-2 log((p + 1/2) / 2^23)) and the normal is R cos(2 pi q / 2^23) for even i, R sin(...) for odd i.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

ROUNDS = 10
MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
KEY_STEPS = (0x9E3779B9, 0xBB67AE85)
WORD = 0xFFFFFFFF
BITS = 23  # p + 1/2 is exact in float32


def philox(counter: tuple[Tensor, ...], key: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """The four words of each counter, as int64 tensors with values below 2^32."""
    c0, c1, c2, c3 = counter
    k0, k1 = key
    for _ in range(ROUNDS):
        first, second = c0 * MULTIPLIERS[0], c2 * MULTIPLIERS[1]  # modulo 2^64: the sign bit is one bit of 64
        c0, c1, c2, c3 = (second >> 32 & WORD) ^ c1 ^ k0, second & WORD, (first >> 32 & WORD) ^ c3 ^ k1, first & WORD
        k0, k1 = k0 + KEY_STEPS[0] & WORD, k1 + KEY_STEPS[1] & WORD
    return c0, c1, c2, c3


def normal_noise(seed: Tensor, stream: Tensor, step: int, N: int, dtype: torch.dtype) -> Tensor:
    """Standard normal draws [E, B, N] of one step for seeds [E] and streams [E, B]."""
    unit = torch.arange(N, device=seed.device)
    shape = (*stream.shape, N)
    where = (
        (unit // 64 * 16 + unit % 16).expand(shape),
        torch.full(shape, step & WORD, device=seed.device),
        (stream & WORD)[..., None].expand(shape),
        (stream >> 32 & WORD)[..., None].expand(shape),
    )
    words = philox(where, ((seed & WORD)[:, None, None], (seed >> 32 & WORD)[:, None, None]))
    block = unit // 16 % 4
    p, q = (torch.where(block < 2, words[i], words[i + 2]) >> 32 - BITS for i in (0, 1))
    radius = torch.sqrt(-2 * torch.log((p.to(dtype) + 0.5) * 0.5**BITS))
    angle = q.to(dtype) * (2 * math.pi * 0.5**BITS)
    return radius * torch.where(block % 2 == 0, torch.cos(angle), torch.sin(angle))
