"""Published settings by name; every single setting can still be changed.

Models, sizes and batches are those published. Where another learning rate (published: 1e-3 to 1e-6), number of steps,
sequence length, forcing or penalty is named, it was found to reconstruct better; benchmarks/results/quality holds the
results.
"""

from __future__ import annotations

from neurorbit.engine.models.plrnn.config import (
    EvaluationConfig,
    ForcingConfig,
    ModelConfig,
    PlrnnConfig,
    RegularisationConfig,
)
from neurorbit.engine.training.config import TrainingConfig

FULL_PROTOCOL = 250_000  # 5000 epochs x 50 batches

PRESETS: dict[str, PlrnnConfig] = {
    "lorenz63": PlrnnConfig(
        steps=60_000,
        model=ModelConfig(cell="shallow-clipped", latent_dim=3, hidden_dim=100),
        # published: product_upper_bound, latent 1e-5, sequences of 200. Forced states carry a share of the observation
        # noise that grows with alpha, and models of them contract too much: alpha ends as low as the runs bear it, and
        # begins higher, where fewer of them settle on a fixed point. With a latent penalty below 1e-6 more do
        forcing=ForcingConfig(alpha=0.3, alpha_final=0.05),
        regularisation=RegularisationConfig(latent=1e-6),
        training=TrainingConfig(learning_rate=1e-2, learning_rate_final=1e-5, gradient_clip=1.0, sequence_length=100),
        evaluation=EvaluationConfig(dt=0.01),
    ),
    "ecg": PlrnnConfig(
        steps=40_000,  # after 150 000 the prediction error on training data is half of that on another recording
        model=ModelConfig(cell="shallow-clipped", latent_dim=5, hidden_dim=250, observation="affine"),
        forcing=ForcingConfig(alpha=0.3),
        regularisation=RegularisationConfig(observation=1e-7),
        # without clipping a nearly singular B at the start would throw the run away; noise lowers the 20-step error on
        # another recording (units of the data) and raises d_stsp: 2.6e-3 and 2.9 at 0, 2.2e-3 and 4.6 at 0.02 (seeds
        # 0 to 4); at 0.015, chosen on seeds 0 to 4 (2.2e-3, 3.8, d_h 0.330), seeds 5 to 24 have 2.3e-3, 4.5, d_h 0.360
        # and, after 250 000 steps, seeds 5 to 8 have 2.2e-3, 4.2, d_h 0.349
        training=TrainingConfig(
            learning_rate=1e-2, learning_rate_final=1e-5, gradient_clip=1.0, observation_noise=0.015
        ),
    ),
    "eeg": PlrnnConfig(
        steps=FULL_PROTOCOL,
        model=ModelConfig(cell="shallow-clipped", latent_dim=16, hidden_dim=512, observation="affine"),
        forcing=ForcingConfig(alpha=0.1),
        regularisation=RegularisationConfig(latent=1e-4, observation=1e-6),
        training=TrainingConfig(sequence_length=50, gradient_clip=10.0),  # as for ecg
    ),
    "fmri": PlrnnConfig(
        steps=FULL_PROTOCOL,
        model=ModelConfig(cell="alrnn", latent_dim=50, n_relu=2),
        forcing=ForcingConfig(alpha=1.0, interval=7),
        training=TrainingConfig(sequence_length=72),
    ),
}
