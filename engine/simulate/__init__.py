"""Systems with a known answer."""

from neurorbit.engine.simulate.bursting import BurstingNeuron
from neurorbit.engine.simulate.chaotic import (
    LORENZ63_LYAPUNOV,
    ROSSLER_LYAPUNOV,
    Lorenz63,
    Lorenz96,
    Rossler,
    System,
)
from neurorbit.engine.simulate.decision import EVIDENCE, Decision, decision
from neurorbit.engine.simulate.flip_flop import FlipFlop, flip_flop
from neurorbit.engine.simulate.flow_spikes import FlowSystem
from neurorbit.engine.simulate.head_direction import head_direction
from neurorbit.engine.simulate.network_spikes import as_spikes, with_hidden
from neurorbit.engine.simulate.orbits import SYSTEMS, bursting, lorenz63, lorenz96, rossler, simulate
from neurorbit.engine.simulate.ornstein_uhlenbeck import OrnsteinUhlenbeck, ornstein_uhlenbeck
from neurorbit.engine.simulate.planted_sequences import Planted, plant_sequences
from neurorbit.engine.simulate.ring_attractor import ring_attractor
from neurorbit.engine.simulate.runge_kutta import integrate, runge_kutta_step
from neurorbit.engine.simulate.torus_attractor import torus_attractor
from neurorbit.engine.simulate.track_runs import TrackRuns, track_runs
from neurorbit.engine.simulate.true_flow import true_flow
from neurorbit.engine.simulate.tuning_train import TuningTrain, tuning_train

__all__ = [
    "EVIDENCE",
    "LORENZ63_LYAPUNOV",
    "ROSSLER_LYAPUNOV",
    "SYSTEMS",
    "BurstingNeuron",
    "Decision",
    "FlipFlop",
    "FlowSystem",
    "Lorenz63",
    "Lorenz96",
    "OrnsteinUhlenbeck",
    "Planted",
    "Rossler",
    "System",
    "TrackRuns",
    "TuningTrain",
    "as_spikes",
    "bursting",
    "decision",
    "flip_flop",
    "head_direction",
    "integrate",
    "lorenz63",
    "lorenz96",
    "ornstein_uhlenbeck",
    "plant_sequences",
    "ring_attractor",
    "rossler",
    "runge_kutta_step",
    "simulate",
    "torus_attractor",
    "track_runs",
    "true_flow",
    "tuning_train",
    "with_hidden",
]
