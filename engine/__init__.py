"""Data in, fitted model out: data, simulate, models, training, analysis, plots, cli."""

if __name__ != "neurorbit.engine":
    raise ImportError(f"import neurorbit.engine, not {__name__}: a second copy of the package would load")
