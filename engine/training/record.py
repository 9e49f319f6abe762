"""What the loop remembers per model: recent losses, who still trains, the last good and the best state."""

from __future__ import annotations

import torch
from torch import Tensor


class TrainingRecord:
    """Kept on the device and read only when something is logged, so that no step waits for the device.

    values [E, P] are the parameters; K rows of loss terms and the gradient's norm are remembered per step.
    """

    def __init__(self, values: Tensor, window: int, n_terms: int) -> None:
        E, device = values.shape[0], values.device
        self.values = values
        self.history = torch.zeros(window, n_terms, E, device=device)  # since the last logged step
        self.filled = torch.zeros((), dtype=torch.int64)
        self.alive = torch.ones(E, dtype=torch.bool, device=device)
        self.was_alive = self.alive.clone()  # at the last logged step
        self.good = values.clone()
        self.best = values.clone()
        self.best_value = torch.full((E,), torch.inf, device=device)
        self.best_step = torch.full((E,), -1, dtype=torch.int64, device=device)
        self._row = 0

    def add(self, terms: list[Tensor], check: Tensor) -> None:
        """One step: K terms [E], and a value that is finite only when all of them are."""
        torch.stack(terms, out=self.history[self._row])
        self._row += 1
        self.alive.logical_and_(check - check == 0)  # isfinite, in fewer operations

    def stopped(self, step: int, names: tuple[str, ...]) -> list[tuple[int, int, str]]:
        """(model, step, term) of each model that stopped since the last logged step; `step` is the number made."""
        gone = (self.was_alive & ~self.alive).nonzero().flatten().tolist()
        rows = self.history[: self._row].cpu().isfinite()  # [n, K, E]
        found = []
        for model in gone:
            first = int((~rows[:, :, model].all(1)).to(torch.int8).argmax())
            finite = rows[first, :, model].tolist()
            found.append((model, step - self._row + first, names[finite.index(False)]))
        return found

    def settle(self) -> None:
        """Set the models that stopped since the last logged step back to their last good state, and keep all states."""
        gone = self.was_alive & ~self.alive
        self.values.copy_(torch.where(gone[:, None], self.good, self.values))
        self.was_alive.copy_(self.alive)
        self.good.copy_(self.values)

    def averages(self) -> Tensor:
        """Mean of each term over the steps since the last logged one, [K, E]."""
        return self.history[: self._row].mean(0)

    def begin(self) -> None:
        """Forget the losses up to the logged step."""
        self._row = 0

    def keep_best(self, step: int, criterion: Tensor) -> None:
        """Keep the states of the models whose criterion [E] is the lowest so far."""
        criterion = criterion.to(self.best_value)
        better = self.alive & (criterion < self.best_value)  # NaN is not lower
        self.best_value.copy_(torch.where(better, criterion, self.best_value))
        self.best_step.masked_fill_(better, step)
        self.best.copy_(torch.where(better[:, None], self.values, self.best))

    def best_or(self, present: Tensor) -> Tensor:
        """The best states, and the present ones of models that have none."""
        return torch.where((self.best_step >= 0)[:, None], self.best, present)

    def state(self) -> dict[str, Tensor]:
        """What a checkpoint holds."""
        self.filled.fill_(self._row)
        names = ("history", "filled", "alive", "was_alive", "good", "best", "best_value", "best_step")
        return {name: getattr(self, name) for name in names}

    def restored(self) -> None:
        """To be called when the tensors of `state` have been overwritten."""
        self._row = int(self.filled)
