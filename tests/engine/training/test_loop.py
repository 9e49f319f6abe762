"""The training loop on a problem whose answer is known."""

import csv
import itertools
import os
import signal
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from neurorbit.bindings.stacked_adam import penalty_and_norm
from neurorbit.engine.training.config import LoopConfig, TrainingConfig
from neurorbit.engine.training.folder import RunFolder
from neurorbit.engine.training.loop import Outcome, Trainer
from neurorbit.engine.training.progress import Progress
from neurorbit.engine.training.stack import ParameterStack

CONFIG = TrainingConfig(batches_per_epoch=5, log_every=4, checkpoint_every=10)


class Listener:
    def __init__(self) -> None:
        self.seen: list[Progress] = []
        self.notes: list[str] = []

    def progress(self, progress: Progress) -> None:
        self.seen.append(progress)

    def note(self, text: str) -> None:
        self.notes.append(text)


class Parabola(nn.Module):
    def __init__(self, E: int) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.linspace(1, 2, E)[:, None] * torch.ones(3))


class ParabolaProblem:
    """Pull of every model's w to 0; model `bad` gets a term that is not finite at step `at`."""

    term_names = ("loss", "penalty")

    def __init__(self, E: int = 3, bad: int = -1, at: int = -1, term: str = "loss", stop_at: int = -1) -> None:
        self.module = Parabola(E)
        self.labels = tuple(f"model {e}" for e in range(E))
        self.measure_names: tuple[str, ...] = ()
        self.penalty: Tensor | None = None
        self.bad, self.at, self.term, self.stop_at = bad, at, term, stop_at
        self.count = torch.zeros(E)
        self.enough: Tensor | None = None  # steps after which each model is finished
        self.measured: list[list[float]] = []
        self.states: list[Tensor] = []

    def terms(self, step: int) -> list[Tensor]:
        loss, penalty = self.module.w.square().sum(1), 0.1 * self.module.w.abs().sum(1)
        if step == self.stop_at:
            os.kill(os.getpid(), signal.SIGTERM)
        if step == self.at:
            one = torch.nn.functional.one_hot(torch.tensor(self.bad), len(self.labels)).bool()
            if self.term == "loss":
                loss = loss + torch.where(one, torch.inf, 0.0)
            elif self.term == "penalty":
                penalty = penalty + torch.where(one, torch.nan, 0.0)
            else:  # a finite loss with a gradient that is not
                root = ((self.module.w - self.module.w.detach()).abs().sum(1) + (~one).float()).sqrt()
                loss = loss + torch.where(one, root, 0)
        return [loss, penalty]

    def gradients(self, step: int, stack: ParameterStack) -> None:
        """By autograd."""

    def where(self, step: int, model: int) -> str:
        finite = all(bool(term[model].isfinite()) for term in self.terms(step))
        return "" if finite else f"in w {self.module.w[model].tolist()}"

    def after_update(self, step: int) -> None:
        self.count += 1

    def finished(self) -> Tensor | None:
        return None if self.enough is None else self.count >= self.enough

    def evaluate(self) -> dict[str, Tensor]:
        rows = self.measured.pop(0)
        self.states.append(self.module.w.detach().clone())
        return {self.measure_names[0]: torch.tensor(rows)}

    def logged(self) -> dict[str, Tensor]:
        return {"count": self.count}

    def state(self) -> dict[str, Tensor]:
        return {"count": self.count}

    def constants(self) -> dict[str, Tensor]:
        return {"unit": torch.ones(2)}


def trainer(
    problem: ParabolaProblem, steps: int, folder: RunFolder | None = None, every: int = 0
) -> tuple[Trainer, Listener]:
    listener = Listener()
    rates = torch.full((len(problem.labels),), 1e-2)
    return Trainer(problem, CONFIG, steps, rates, folder=folder, reporter=listener, evaluate_every=every), listener


def rows(folder: RunFolder) -> list[dict[str, str]]:
    with open(folder.metrics, newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize(("term", "said"), [("loss", "loss"), ("penalty", "penalty"), ("gradient", "gradient")])
def test_a_model_that_diverges_stops_alone(term: str, said: str) -> None:
    whole, _ = trainer(ParabolaProblem(), 20)
    whole.run()
    one_bad, listener = trainer(ParabolaProblem(bad=1, at=10, term=term), 20)
    assert one_bad.run().status == "finished"
    assert torch.equal(one_bad.stack.values[[0, 2]], whole.stack.values[[0, 2]])
    at_eight, _ = trainer(ParabolaProblem(stop_at=7), 20)  # the last logged step before step 10
    at_eight.run()
    assert torch.equal(one_bad.stack.values[1], at_eight.stack.values[1])
    assert len(listener.notes) == 1
    at_ten, _ = trainer(ParabolaProblem(stop_at=9), 20)
    at_ten.run()
    where = "" if term == "gradient" else f" in w {at_ten.stack.values[1].tolist()}"
    assert listener.notes[0].startswith(f"model 1 stopped at step 10: its {said} is not finite{where};")
    assert [p.alive for p in listener.seen] == [3, 3, 2, 2, 2]


class Penalised(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        g = torch.Generator().manual_seed(0)
        self.w, self.b = (nn.Parameter(torch.randn(3, *n, generator=g)) for n in ((2, 3), (4,)))


def test_a_penalty_has_the_value_and_the_gradient_of_autograd() -> None:
    module, twin = Penalised(), Penalised()
    stack, factors = ParameterStack(module.named_parameters()), torch.linspace(0.1, 2.0, 10)

    def loss(m: Penalised) -> Tensor:
        return (m.w.sin().sum((1, 2)) * m.b.cos().sum(1)).sum()

    squares = torch.cat([p.flatten(1) for p in twin.parameters()], 1).square() @ factors
    expected = torch.autograd.grad(loss(twin) + squares.sum(), tuple(twin.parameters()))
    stack.differentiate(loss(module))
    torch.testing.assert_close(penalty_and_norm(stack.values, stack.gradients, factors)[0], squares)
    for found, grad in zip(stack.named(stack.gradients).values(), expected, strict=True):
        torch.testing.assert_close(found, grad)


class Sheltered(ParabolaProblem):
    """The parabola with a quarter more of its squares: as a term of autograd's, or as the loop's penalty."""

    term_names = ("loss", "penalty", "l2")

    def __init__(self, by_loop: bool, **changes: int) -> None:
        super().__init__(**changes)
        self.factors, self.by_loop = torch.tensor([0.5, 0.25, 0.0]), by_loop
        self.penalty = self.factors if by_loop else None

    def terms(self, step: int) -> list[Tensor]:
        terms = super().terms(step)
        return terms if self.by_loop else [*terms, self.module.w.square() @ self.factors]


def test_the_loops_penalty_trains_as_a_term_of_the_loss(tmp_path: Path) -> None:
    found, values, written = [], [], []
    for by_loop in (True, False):
        folder = RunFolder.create(tmp_path / f"{by_loop}", {})
        loop, _ = trainer(Sheltered(by_loop), 20, folder)
        loop.run()
        found.append(loop.stack.values.clone())
        values.append(loop.record.best.clone())
        written.append(rows(folder))
    torch.testing.assert_close(found[0], found[1], rtol=1e-6, atol=1e-7)
    torch.testing.assert_close(values[0], values[1], rtol=1e-6, atol=1e-7)
    assert list(written[0][0]) == list(written[1][0]) and "l2" in written[0][0]
    for a, b in zip(*written, strict=True):
        assert {n: float(v) for n, v in a.items()} == pytest.approx({n: float(v) for n, v in b.items()}, rel=1e-5)
    plain, _ = trainer(ParabolaProblem(), 20)
    plain.run()
    assert not torch.allclose(plain.stack.values, found[0], rtol=1e-4)


def test_a_penalty_that_is_not_finite_stops_its_model_alone() -> None:
    problem = Sheltered(True)
    with torch.no_grad():
        problem.module.w[1, 0] = 1e25  # its square is not finite in float32, and neither is the parabola
    loop, listener = trainer(problem, 8)
    loop.run()
    assert loop.record.alive.tolist() == [True, False, True]
    assert len(listener.notes) == 1 and listener.notes[0].startswith(
        "model 1 stopped at step 0: its loss is not finite"
    )


def test_training_ends_when_no_model_is_left(tmp_path: Path) -> None:
    folder = RunFolder.create(tmp_path, {})
    loop, listener = trainer(ParabolaProblem(E=1, bad=0, at=6), 100, folder)
    outcome = loop.run()
    assert (outcome.status, outcome.step) == ("diverged", 8) and len(listener.notes) == 1
    assert [r["loss"] == "" for r in rows(folder)] == [False, True]
    assert "train on" not in listener.notes[0]
    again, listener = trainer(ParabolaProblem(E=1), 100, folder)
    again.restore()
    assert again.run() == outcome and listener.notes == [] and len(rows(folder)) == 2


def test_the_others_train_on() -> None:
    loop, listener = trainer(ParabolaProblem(bad=1, at=6), 12)
    loop.run()
    assert "kept and the others train on (" in listener.notes[0]


def test_best_state_is_each_models_own_and_nan_is_never_best() -> None:
    problem = ParabolaProblem(E=3)
    problem.measure_names = ("distance",)
    problem.measured = [[3.0, 1.0, torch.nan], [2.0, 2.0, torch.nan], [2.5, 0.5, torch.nan]]
    loop, _ = trainer(problem, 15, every=5)
    loop.run()
    states = problem.states
    best = loop.best_parameters()["w"]
    assert torch.equal(best[0], states[1][0]) and torch.equal(best[1], states[2][1])
    assert torch.equal(best[2], states[2][2])  # never a finite measure: the present state
    assert loop.record.best_step.tolist() == [10, 15, -1]


def test_without_measures_the_lowest_logged_loss_decides() -> None:
    loop, _ = trainer(ParabolaProblem(), 20)
    loop.run()
    assert loop.record.best_step.tolist() == [20, 20, 20]  # the loss of a parabola only falls


def test_metrics_hold_means_since_the_last_row(tmp_path: Path) -> None:
    folder = RunFolder.create(tmp_path, {})
    loop, listener = trainer(ParabolaProblem(E=2), 10, folder)
    loop.run()
    found = rows(folder)
    assert list(found[0]) == ["step", "run", "loss", "penalty", "gradient_norm", "learning_rate", "count"]
    assert [(r["step"], r["run"], r["count"]) for r in found] == [
        ("4", "0", "4"), ("4", "1", "4"), ("8", "0", "8"), ("8", "1", "8"), ("10", "0", "10"), ("10", "1", "10")
    ]  # fmt: skip
    losses = []
    for stop_at in range(-1, 3):  # the loss before each of the first four steps
        again, _ = trainer(ParabolaProblem(E=2, stop_at=stop_at), 10 if stop_at >= 0 else 0)
        again.run()
        losses.append(float(again.stack.values[1].square().sum()))
    assert float(found[1]["loss"]) == pytest.approx(sum(losses) / 4, rel=1e-5)
    assert float(found[0]["learning_rate"]) == pytest.approx(1e-2) and float(
        found[4]["learning_rate"]
    ) == pytest.approx(1e-6)
    assert listener.seen[-1].step == 10 and listener.seen[-1].steps_per_s > 0


@pytest.mark.parametrize("stop_at", [1, 9, 13, 22])
def test_a_signal_saves_and_resuming_ends_bit_for_bit_the_same(tmp_path: Path, stop_at: int) -> None:
    whole_folder = RunFolder.create(tmp_path / "whole", {})
    whole, _ = trainer(ParabolaProblem(bad=1, at=14), 25, whole_folder)
    whole.run()
    handler = signal.getsignal(signal.SIGTERM)
    folder = RunFolder.create(tmp_path / "cut", {})
    first, _ = trainer(ParabolaProblem(bad=1, at=14, stop_at=stop_at), 25, folder)
    outcome = first.run()
    assert (outcome.status, outcome.step, outcome.signal) == ("stopped", stop_at + 1, "SIGTERM")
    assert signal.getsignal(signal.SIGTERM) is handler
    second, listener = trainer(ParabolaProblem(bad=1, at=14), 25, folder)
    second.restore()
    assert second.step == stop_at + 1
    assert second.run().status == "finished"
    assert torch.equal(second.stack.values, whole.stack.values)
    assert torch.equal(second.record.best, whole.record.best)
    assert folder.metrics.read_bytes() == whole_folder.metrics.read_bytes()
    assert (folder.path / "best.safetensors").read_bytes() == (whole_folder.path / "best.safetensors").read_bytes()
    assert len(listener.notes) == (0 if stop_at > 15 else 1)


def test_a_checkpoint_of_other_parameters_is_refused(tmp_path: Path) -> None:
    folder = RunFolder.create(tmp_path, {})
    trainer(ParabolaProblem(E=3), 10, folder)[0].run()
    with pytest.raises(ValueError, match=r"parameters/w: expected \[2, 3\], got \[3, 3\]"):
        trainer(ParabolaProblem(E=2), 10, folder)[0].restore()


class Remembering(ParabolaProblem):
    """Keeps the parameters after every update."""

    def after_update(self, step: int) -> None:
        super().after_update(step)
        self.states.append(self.module.w.detach().clone())


def test_a_finished_model_stays_and_the_loop_ends_when_all_are_finished() -> None:
    config, rate = LoopConfig(learning_rate=0.1, log_every=5), torch.full((3,), 0.1)
    problem = Remembering()
    problem.enough = torch.tensor([3.0, 8.0, 100.0])
    assert Trainer(problem, config, 20, rate).run() == Outcome("finished", 20)
    moved = [[not torch.equal(a[e], b[e]) for a, b in itertools.pairwise(problem.states)] for e in range(3)]
    assert moved[0] == [True] * 2 + [False] * 17 and moved[1] == [True] * 7 + [False] * 12 and all(moved[2])

    problem.count.zero_()
    problem.enough = torch.tensor([3.0, 8.0, 1.0])
    assert Trainer(problem, config, 20, rate).run() == Outcome("finished", 10)
