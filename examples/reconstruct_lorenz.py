"""Reconstruct the Lorenz attractor from noisy observations, from Python: five models side by side.

python examples/reconstruct_lorenz.py [--steps 20000] [--workdir FOLDER]
"""

import argparse

from neurorbit.engine.data import TimeSeries
from neurorbit.engine.models.plrnn import (
    EvaluationConfig,
    ForcingConfig,
    ModelConfig,
    PlrnnConfig,
    evaluate_runs,
    fit,
)
from neurorbit.engine.simulate import lorenz63
from neurorbit.engine.training.config import TrainingConfig


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=20000)
    parser.add_argument("--workdir", default=None, help="run folder for metrics and checkpoints; none by default")
    arguments = parser.parse_args()

    # your own data: TimeSeries.from_arrays(x) with x [T, N], or read_time_series("file.mat", key="x")
    train = TimeSeries.from_arrays(lorenz63(20000, noise=0.05, seed=0))
    test = TimeSeries.from_arrays(lorenz63(20000, seed=1))

    config = PlrnnConfig(
        steps=arguments.steps,
        runs=5,
        model=ModelConfig(cell="shallow-clipped", latent_dim=3, hidden_dim=50),
        forcing=ForcingConfig(alpha=0.1),
        training=TrainingConfig(learning_rate=2e-2, learning_rate_final=1e-5, gradient_clip=1.0, sequence_length=100),
        evaluation=EvaluationConfig(dt=0.01),
    )
    result = fit(config, train, arguments.workdir)
    measures = evaluate_runs(result.fitted, test)
    for name, median in measures["median"].items():
        print(f"{name}: {median:.3g} +- {measures['mad'][name]:.2g} (median over {config.runs} runs)")
    print("largest Lyapunov exponent of the true system: 0.906")

    orbit = result.fitted[0].generate(1000)  # [runs, 1000, 3], in the units of the data
    print("generated orbits:", list(orbit.shape))


if __name__ == "__main__":
    main()
