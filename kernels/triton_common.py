"""What the Triton kernels share: the two contractions, in a vector form and a matrix form, and padding."""

import triton
import triton.language as tl


@triton.jit
def contract_rows(x, w, DOT: tl.constexpr):
    """x [R, I] against w [I, K] over I: [R, K]. DOT needs every side to be at least 16."""
    if DOT:
        return tl.dot(x, w, input_precision="ieee")
    else:
        return tl.sum(x[:, :, None] * w[None, :, :], axis=1)


@triton.jit
def contract_columns(x, w, DOT: tl.constexpr):
    """x [R, K] against w [I, K] over K: [R, I]."""
    if DOT:
        return tl.dot(x, tl.trans(w), input_precision="ieee")
    else:
        return tl.sum(x[:, None, :] * w[None, :, :], axis=2)


@triton.jit
def outer_sum(x, y, DOT: tl.constexpr):
    """Sum over rows of x [R, I] times y [R, K]: [I, K]."""
    if DOT:
        return tl.dot(tl.trans(x), y, input_precision="ieee")
    else:
        return tl.sum(x[:, :, None] * y[:, None, :], axis=0)


def padded(size: int, least: int = 1) -> int:
    """The next power of two, at least `least`."""
    return max(least, triton.next_power_of_2(size))
