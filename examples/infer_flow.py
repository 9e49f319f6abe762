"""Infer the flow behind the spikes of a simulated decision, and see how near the true one it is, from Python.

python examples/infer_flow.py [--epochs 600] [--trials 500] [--workdir FOLDER]
"""

import argparse
import dataclasses

from neurorbit.engine.analysis.flow_field import standstill_points
from neurorbit.engine.models.findr import PRESETS, evaluate_fits, fit, recover
from neurorbit.engine.models.findr.recovery import latents
from neurorbit.engine.simulate.decision import decision


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epochs", type=int, default=600)
    parser.add_argument("--trials", type=int, default=500)
    parser.add_argument("--neurons", type=int, default=60)
    parser.add_argument("--workdir", default=None, help="run folder for metrics and checkpoints; none by default")
    arguments = parser.parse_args()

    # your own data: read_trials("session.npz"), or SpikeTrials.from_arrays(counts, lengths, inputs) with [B, T, N],
    # [B] and [B, T, U]
    trials = decision(n_trials=arguments.trials, n_neurons=arguments.neurons, seed=0)

    config = dataclasses.replace(PRESETS["fast"], epochs=arguments.epochs, fold=(0,))  # one of five folds
    [fitted] = fit(config, trials, arguments.workdir).fitted
    test = evaluate_fits([fitted], [trials])["mean"]["test"]
    print(f"bits per spike of test trials: {test['bits_per_spike']:.3f}")
    print(f"of neurons that the encoder does not see: {test['co_bits_per_spike']:.3f}")

    flow = fitted.flow(0)  # dz/dt in 1/s at latents [S, 2], a function
    visited = latents(fitted, trials)[0][trials.valid].double()
    still = standstill_points(flow, visited, tau_s=config.model.tau_s)
    for kind, place in zip(still.kinds, still.points.tolist(), strict=True):
        print(f"a {kind} at z = {[round(x, 2) for x in place]}")

    paths = fitted.sample(trials.inputs, trials.lengths, seed=1)  # the flow alone, the same inputs: [1, B, T, 2]
    counts = fitted.spikes(paths[0], 0, lengths=trials.lengths)
    per_trial = [int(n.sum()) // trials.n_trials for n in (counts, trials.n_spikes)]
    print("spikes per trial, of the model and recorded:", per_trial)

    found = recover(fitted, 0, trials)  # only a simulation knows its flow
    print(f"R^2 of the flow along the decision axis: {float(found.match.flow_r2[0]):.2f}")


if __name__ == "__main__":
    main()
