"""The one training loop: E models side by side, each with its own learning rate, divergence and best state."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from neurorbit.engine.training.checkpoint import Checkpoint
from neurorbit.engine.training.config import LoopConfig
from neurorbit.engine.training.folder import RunFolder
from neurorbit.engine.training.momentum import StackedOptimiser
from neurorbit.engine.training.optimiser import StackedAdam, exponential_decay
from neurorbit.engine.training.problem import Problem
from neurorbit.engine.training.progress import LoggingReporter, Progress, Reporter
from neurorbit.engine.training.record import TrainingRecord
from neurorbit.engine.training.signals import StopRequest
from neurorbit.engine.training.stack import ParameterStack

Status = Literal["finished", "stopped", "diverged"]


@dataclass(frozen=True)
class Outcome:
    """How training ended: after all steps, on a signal, or because no model was left."""

    status: Status
    step: int
    signal: str | None = None


class Trainer:
    """Trains a Problem; without a folder nothing is written."""

    def __init__(
        self,
        problem: Problem,
        config: LoopConfig,
        steps: int,
        learning_rate: Tensor,
        *,
        folder: RunFolder | None = None,
        reporter: Reporter | None = None,
        evaluate_every: int = 0,
        rectified: bool = True,
        optimiser: Callable[[ParameterStack], StackedOptimiser] | None = None,
        schedule: Callable[[int], float] | None = None,
    ) -> None:
        self.schedule = schedule  # factor of the learning rate at a step, instead of the exponential decay per epoch
        self.problem, self.config, self.steps = problem, config, steps
        self.folder, self.reporter = folder, reporter or LoggingReporter()
        self.evaluate_every = evaluate_every
        self.learning_rate = learning_rate.double()  # [E], at the first epoch
        self.stack = ParameterStack(problem.module.named_parameters())
        self.optimiser: StackedOptimiser = StackedAdam(self.stack, rectified=rectified, clip=config.gradient_clip)
        if optimiser is not None:
            self.optimiser = optimiser(self.stack)
        self.record = TrainingRecord(self.stack.values, config.log_every, len(problem.term_names) + 1)
        self.step = 0
        self._saved = -1
        self._metrics_bytes = 0
        self._clock = (time.monotonic(), 0)

    def run(self) -> Outcome:
        """Train to the last step, or until a signal or the last model's divergence; the folder is locked meanwhile."""
        if self.folder is not None:
            self.folder.begin_metrics(self._columns(), self._metrics_bytes)
        if not bool(self.record.alive.any()):  # a run that had diverged is resumed
            return Outcome("diverged", self.step)
        self._clock = (time.monotonic(), self.step)
        rate: Tensor | None = None
        with StopRequest() as stop:
            while not self._done() and stop.name is None:
                if rate is None or self.schedule or self.step % self.config.batches_per_epoch == 0:
                    rate = self._rate(self.step)
                self._one_step(rate)
                evaluation = self._evaluation_due()
                if evaluation or self.step % self.config.log_every == 0:
                    self._log(evaluation)
                    if not bool(self.record.alive.any()):
                        self._checkpoint()
                        return Outcome("diverged", self.step)
                if self.step % self.config.checkpoint_every == 0 or self._done():
                    self._checkpoint()
            self._checkpoint()
        if not self._done():
            return Outcome("stopped", self.step, stop.name)
        return Outcome("finished", self.step)

    def _one_step(self, rate: Tensor) -> None:
        known = self.problem.gradients(self.step, self.stack)
        terms = self.problem.terms(self.step) if known is None else known
        total = terms[0] if len(terms) == 1 else torch.stack(terms).sum(0)
        if known is None:
            self.stack.differentiate(total.sum())
        with torch.no_grad():
            penalty, norm = self.optimiser.gradient_norm(self.problem.penalty)
            if self.problem.penalty is not None:
                terms.append(penalty)
                total = total + penalty
            self.record.add([*terms, norm], total + norm)
            finished = self.problem.finished()
            changing = self.record.alive if finished is None else self.record.alive & ~finished
            self.optimiser.update(self.step, rate, norm, changing)
        self.problem.after_update(self.step)
        self.step += 1

    def _done(self) -> bool:
        """All steps are made, or every model that still trains is finished (asked where the loop logs anyway)."""
        if self.step >= self.steps:
            return True
        finished = self.problem.finished()
        if finished is None or self.step % self.config.log_every:
            return False
        return bool((finished | ~self.record.alive).all())

    def _rate(self, step: int) -> Tensor:
        if self.schedule is not None:
            return (self.learning_rate * self.schedule(step)).to(self.stack.values)
        per_epoch = self.config.batches_per_epoch
        epoch, n_epochs = step // per_epoch, -(-self.steps // per_epoch)
        final = self.config.learning_rate_final
        rate = exponential_decay(self.learning_rate, final, epoch, n_epochs) if final else self.learning_rate
        return rate.to(self.stack.values)

    def _evaluation_due(self) -> bool:
        last = self.step == self.steps
        return last or (self.evaluate_every > 0 and self.step % self.evaluate_every == 0)

    def _columns(self) -> list[str]:
        terms = ["loss", *self.problem.term_names[1:], "gradient_norm"]
        return ["step", "run", *terms, "learning_rate", *self.problem.logged(), *self.problem.measure_names]

    def _log(self, evaluation: bool) -> None:
        names = (*self.problem.term_names, "gradient")
        others = " and the others train on" if bool(self.record.alive.any()) else ""
        for model, step, term in self.record.stopped(self.step, names):
            where = self.problem.where(step, model)  # a model that stopped keeps the parameters of that step
            self.reporter.note(
                f"{self.problem.labels[model]} stopped at step {step}: its {term} is not finite{where and ' '}"
                f"{where}; its last good state is kept{others} (a lower learning rate or gradient clipping may help)"
            )
        self.record.settle()
        averages = self.record.averages()  # [K, E]
        measures = self.problem.evaluate() if evaluation and self.problem.measure_names else {}
        criterion = averages[0] if not self.problem.measure_names else measures.get(self.problem.measure_names[0])
        if criterion is not None:
            self.record.keep_best(self.step, criterion)
        logged = {"learning_rate": self._rate(self.step - 1), **self.problem.logged()}
        self._append(averages, logged, measures)
        values = {"loss": averages[0], **logged, **measures}
        now, (then, step) = time.monotonic(), self._clock
        self._clock = (now, self.step)
        alive = self.record.alive.cpu()
        medians = {n: float(v.detach().cpu().double()[alive].nanmedian()) for n, v in values.items()}
        rate = (self.step - step) / max(now - then, 1e-9)
        self.reporter.progress(Progress(self.step, self.steps, rate, int(alive.sum()), len(alive), medians))
        self.record.begin()

    def _append(self, averages: Tensor, logged: dict[str, Tensor], measures: dict[str, Tensor]) -> None:
        if self.folder is None:
            return
        columns: list[list[float] | None] = [row.tolist() for row in averages]
        columns += [v.tolist() for v in logged.values()]
        for name in self.problem.measure_names:
            columns.append(measures[name].tolist() if name in measures else None)
        alive = self.record.alive.tolist()
        self.folder.append_metrics(
            [self.step, run, *(None if c is None or not alive[run] else c[run] for c in columns)]
            for run in range(len(alive))
        )
        self._metrics_bytes = self.folder.metrics.stat().st_size

    def best_parameters(self) -> dict[str, Tensor]:
        """Each model's best state under the parameters' names; its present one when none was ever better."""
        return {n: v.clone() for n, v in self.stack.named(self.record.best_or(self.stack.values)).items()}

    def _checkpoint(self) -> None:
        if self.folder is None or self._saved == self.step:
            return
        constants = {f"constants/{n}": v for n, v in self.problem.constants().items()}
        tensors = {f"parameters/{n}": v for n, v in self.stack.named(self.stack.values).items()} | constants
        tensors |= {f"optimiser/{n}": v for n, v in self.optimiser.state().items()}
        tensors |= {f"record/{n}": v for n, v in self.record.state().items()}
        tensors |= {f"problem/{n}": v for n, v in self.problem.state().items()}
        values = {"metrics_bytes": self._metrics_bytes, "steps": self.steps, "labels": list(self.problem.labels)}
        self.folder.save(Checkpoint(self.step, tensors, values))
        self.folder.save_best(self.best_state())
        self._saved = self.step

    def best_state(self) -> dict[str, Tensor]:
        """What best.safetensors holds: the best parameters, constants, who still trains, when the best was reached, how
        good it was."""
        best = {f"parameters/{n}": v for n, v in self.best_parameters().items()}
        best |= {f"constants/{n}": v for n, v in self.problem.constants().items()}
        record = {n: getattr(self.record, n) for n in ("alive", "best_step", "best_value")}
        return best | record

    def restore(self) -> None:
        """Continue from the folder's newest whole checkpoint; from the start when there is none."""
        assert self.folder is not None
        checkpoint, damaged = self.folder.newest()
        for sentence in damaged:
            self.reporter.note(f"{sentence}; the checkpoint before it is used")
        if checkpoint is None:
            return
        self.step = self._saved = checkpoint.step
        self._metrics_bytes = checkpoint.values["metrics_bytes"]
        targets = {f"parameters/{n}": v for n, v in self.stack.named(self.stack.values).items()}
        targets |= {f"optimiser/{n}": v for n, v in self.optimiser.state().items()}
        targets |= {f"record/{n}": v for n, v in self.record.state().items()}
        targets |= {f"problem/{n}": v for n, v in self.problem.state().items()}
        for name, target in targets.items():
            found = checkpoint.tensors.get(name)
            if found is None or found.shape != target.shape:
                got = "nothing" if found is None else list(found.shape)
                raise ValueError(
                    f"checkpoint: {name}: expected {list(target.shape)}, got {got}: config.json was edited"
                )
            target.copy_(found)
        self.record.restored()
        self.folder.save_best(self.best_state())  # the last one may be younger than the checkpoint, damaged or missing
