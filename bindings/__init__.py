"""The public torch functions, one file per op: validation, dispatch, autograd."""

if __name__ != "neurorbit.bindings":
    raise ImportError(f"import neurorbit.bindings, not {__name__}: a second copy of the package would load")
