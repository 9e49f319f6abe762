"""Functions inside Triton kernels: sigmoid, tanh, softplus, logarithm, and counter-based normal noise.

All but the noise's radius follow from exp(y) - 1 = 2^n (exp(s) - 1) + 2^n - 1 with y = n ln 2 + s and Taylor's series,
to the last bits of float32 and float64. NaN stays NaN. `noise_common.py` says which draw belongs where.
"""

import triton
import triton.language as tl


@triton.jit
def split_exp(y):
    """(2^n, exp(s) - 1) with y = n ln 2 + s, for y <= 80; below -80, and for NaN, as at -80."""
    y = tl.where(y > -80.0, y, -80.0)
    n = tl.floor(y * 1.4426950408889634 + 0.5)
    p = tl.zeros_like(y) + 1.0
    if y.dtype == tl.float64:
        s = (y - n * 0.6931471803691238) - n * 1.9082149292705877e-10
        for i in tl.static_range(13):
            p = 1.0 + p * s * (1.0 / (15 - i))
        scale = ((n.to(tl.int64) + 1023) << 52).to(tl.float64, bitcast=True)
    else:
        s = (y - n * 0.693359375) + n * 2.1219444005469058e-4
        for i in tl.static_range(6):
            p = 1.0 + p * s * (1.0 / (8 - i))
        scale = ((n.to(tl.int32) + 127) << 23).to(tl.float32, bitcast=True)
    return scale, s + s * s * 0.5 * p


@triton.jit
def exponential(y):
    """exp(y) for y <= 80; below -80, and for NaN, as at -80."""
    scale, p = split_exp(y)
    return scale * p + scale


@triton.jit
def expm1(y):
    """exp(y) - 1 for y <= 80; for NaN as at -80."""
    scale, p = split_exp(y)
    return scale * p + (scale - 1.0)


@triton.jit
def sigmoid(x):
    """1 / (1 + 2^n + 2^n (e^s - 1)) for the exponential of -x."""
    scale, p = split_exp(tl.where(x > -80.0, -x, 80.0))
    return tl.where(x == x, 1.0 / ((1.0 + scale) + scale * p), x)


@triton.jit
def tanh(x):
    """-m / (2 + m) for x > 0, m = e^(-2 |x|) - 1."""
    m = expm1(-2.0 * tl.abs(x))
    value = m / (2.0 + m)
    return tl.where(x == x, tl.where(x > 0, -value, value), x)


@triton.jit
def tanh_and_slope(x):
    """(tanh(x), 1 - tanh(x)^2 = 4 e / (1 + e)^2 with e = e^(-2 |x|)): the slope has its digits where tanh is near 1."""
    scale, p = split_exp(-2.0 * tl.abs(x))
    m = scale * p + (scale - 1.0)
    return tanh(x), 4.0 * (scale * p + scale) / ((2.0 + m) * (2.0 + m))


@triton.jit
def twice_atanh(f):
    """2 atanh(f) for |f| <= 1/3, by its series."""
    z = f * f
    a = tl.zeros_like(f)
    if f.dtype == tl.float64:
        for i in tl.static_range(17):
            a = a * z + 1.0 / (33 - 2 * i)
    else:
        for i in tl.static_range(8):
            a = a * z + 1.0 / (15 - 2 * i)
    return 2.0 * f * a


@triton.jit
def softplus_parts(x):
    """(log(1 + e^x), numerator and denominator of its slope); the value of NaN is anything."""
    e = exponential(-tl.abs(x))
    value = tl.where(x > 0, x, 0.0) + twice_atanh(e / (2.0 + e))
    return value, tl.where(x > 0, 1.0, e), 1.0 + e


@triton.jit
def logarithm(x):
    """log of positive, normal x = 2^n m with m around 1: the series of 2 atanh((m - 1) / (m + 1))."""
    if x.dtype == tl.float64:
        bits = x.to(tl.int64, bitcast=True)
        n = ((bits >> 52) - 1023).to(tl.float64)
        m = ((bits & 0xFFFFFFFFFFFFF) | (1023 << 52)).to(tl.float64, bitcast=True)
    else:
        bits = x.to(tl.int32, bitcast=True)
        n = ((bits >> 23) - 127).to(tl.float32)
        m = ((bits & 0x7FFFFF) | (127 << 23)).to(tl.float32, bitcast=True)
    large = m > 1.4142135623730951
    m = tl.where(large, m * 0.5, m)
    n = tl.where(large, n + 1.0, n)
    part = twice_atanh((m - 1.0) / (m + 1.0))
    if x.dtype == tl.float64:
        return n * 0.6931471803691238 + (n * 1.9082149292705877e-10 + part)
    else:
        return n * 0.693359375 + (n * -2.1219444005469058e-4 + part)


@triton.jit
def turned(v):
    """(cos, sin) of 2 pi v for 0 <= v < 1: Taylor's series within an eighth of a turn of each quarter."""
    n = tl.floor(v * 4.0 + 0.5)
    x = (v - n * 0.25) * 6.283185307179586
    z = x * x
    c = tl.zeros_like(v) + 1.0
    s = tl.zeros_like(v) + 1.0
    if v.dtype == tl.float64:
        for i in tl.static_range(9):
            c = 1.0 - c * z * (1.0 / ((18 - 2 * i) * (17 - 2 * i)))
            s = 1.0 - s * z * (1.0 / ((19 - 2 * i) * (18 - 2 * i)))
    else:
        for i in tl.static_range(5):
            c = 1.0 - c * z * (1.0 / ((10 - 2 * i) * (9 - 2 * i)))
            s = 1.0 - s * z * (1.0 / ((11 - 2 * i) * (10 - 2 * i)))
    s = s * x
    odd = (n == 1.0) | (n == 3.0)
    first = tl.where(odd, s, c)
    second = tl.where(odd, c, s)
    return tl.where((n == 1.0) | (n == 2.0), -first, first), tl.where((n == 2.0) | (n == 3.0), -second, second)


@triton.jit
def drawn(seed, stream, step, o_n, like):
    """Standard normal draws of the units o_n for each stream, [R, N]; step: a number or [R, 1]."""
    counter = (o_n // 64 * 16 + o_n % 16).to(tl.uint32)[None, :]
    zero = (stream * 0).to(tl.uint32)[:, None] + counter * 0
    low = (stream & 0xFFFFFFFF).to(tl.uint32)[:, None] + counter * 0
    high = ((stream >> 32) & 0xFFFFFFFF).to(tl.uint32)[:, None] + counter * 0
    w0, w1, w2, w3 = tl.philox(seed, counter + zero, zero + step.to(tl.uint32), low, high)
    block = ((o_n // 16) % 4)[None, :]
    p = (tl.where(block < 2, w0, w2) >> 9).to(like.dtype)
    c, s = turned((tl.where(block < 2, w1, w3) >> 9).to(like.dtype) * 0.5**23)
    radius = tl.sqrt(-2.0 * tl.log((p + 0.5) * 0.5**23))
    return radius * tl.where(block % 2 == 0, c, s)
