"""Settings by name; every single setting can still be changed.

published: the recipe of the paper, stochastic gradient descent with warm restarts for 3000 epochs. fast: Adam, two
hidden layers, a posterior tied to the flow, the readout started at principal axes, little noise and open gates at
first, a time constant of 20 ms, since gates bound how steep a flow can be, and a baseline by trial alone, since one by
time within trials takes a part of the time course from the flow; a flow within minutes.
"""

from __future__ import annotations

from neurorbit.engine.models.findr.config import FindrConfig, ModelConfig, ObjectiveConfig, TrainingConfig

PRESETS: dict[str, FindrConfig] = {
    "published": FindrConfig(
        rates=(10.0**-1.25,),
        model=ModelConfig(exact_baseline=False),
        training=TrainingConfig(optimiser="sgd", evaluate_every=1, select="loss"),
    ),
    "fast": FindrConfig(
        epochs=600,
        features=(50, 50),
        rates=(1.5e-2,),
        baseline="trial",
        model=ModelConfig(
            posterior="tied", readout_start="principal", noise_start=-2.8, gate_start=2.0, tau_s=0.02, bias=True
        ),
        loss=ObjectiveConfig(beta_max=1.0, annealing=0.95),
        training=TrainingConfig(batch_size=50, rise_epochs=0),
    ),
}
