"""neurorbit: dynamical models of large neural recordings, trained with fused kernels."""

__version__ = "0.1.0"
