"""IterativeTaylor: channels go a few at a time while a model is trained.

Source: Molchanov, Mallya, Tyree, Frosio & Kautz, "Importance Estimation for Neural Network
Pruning", CVPR 2019, arXiv 1906.10771, sections 3 and 4. Every training step gives the gradient g_z
of the gate z of every channel at z = 1; the score is the mean of g_z^2 over the batches since the
last update, averaged with the scores before:

    s <- momentum s + (1 - momentum) mean of g_z^2

Every `frequency` batches the channels with the lowest scores of all layers go, until the target is
met; training goes on. Scores cost no pass of their own: `gates.py` takes them from the gradients
that the optimizer gets.

For n weights: time O(n) a batch beside the training step, memory O(channels).

Deviations: the last update removes as many as meet the target, where the paper counts neurons. What
regularizers add to the gradient of a gate counts.
"""

import contextlib
import os
from collections.abc import Iterator

import keras
import numpy as np

from tfprune.channels.channel_plan import ChannelPlan, GroupPlan, made_plan
from tfprune.channels.choosing.budgets import budget_of, require_one_given
from tfprune.channels.choosing.selection import Limits
from tfprune.channels.choosing.wishes import kept_groups, require_plain
from tfprune.channels.coupling.reading import read
from tfprune.channels.gradual.gates import find_gates, scaling_axes, with_unscored_frozen
from tfprune.channels.gradual.progress_file import read_progress, write_progress
from tfprune.channels.gradual.stepwise import Stepwise
from tfprune.channels.gradual.telling import (
    require_belonging,
    require_heard,
    require_scored,
    tell_end,
    tell_held_again,
    tell_zeros,
)
from tfprune.channels.gradual.watching import Watch
from tfprune.channels.kept import Costs
from tfprune.sparsity.rules import Rules
from tfprune.support.by_identity import each_once
from tfprune.support.files import require_writable
from tfprune.support.validation import require_flag, require_integer, require_model, require_number

Logs = dict[str, float] | None

_UPDATES = 100  # that would take all channels, where the user does not say how many go at each


class IterativeTaylor(keras.callbacks.Callback):
    """Remove channels of a model while it is trained, by scores of every batch.

    Channels that have gone are zero in all that makes, shifts and scales them, and stay so; the
    model keeps its shape until `tfprune.channels.prune(model, callback.plan)` makes the smaller
    one. What is zero when training begins counts as gone, unless a layer is zero as a whole. In a
    loop of your own, `keras.callbacks.CallbackList([callback], model=model)` will do, with an
    optimizer step that is compiled after `on_train_begin`.

    Args:
        model: built, plain Sequential or Functional model, of which channels go. It is the one that
            is trained, or a part of it (the student of `tfprune.distill`).
        sparsity: fraction of the removable channels that goes in the end, in (0, 1).
        macs: multiply-adds that are left in the end, as a fraction in (0, 1) of the model's.
        parameters: the same of the parameters.
        frequency: batches from one update to the next, >= 1; updates that are due together, with
            `steps_per_execution`, are made together, by the mean of all their batches.
        per_update: channels that go at an update, >= 1; None: a hundredth of the removable ones.
        momentum: weight in [0, 1) of the earlier scores in the running average.
        round_to: as in `tfprune.channels.plan`.
        min_kept: as in `tfprune.channels.plan`.
        rules: list of pairs (regex, None) for paths of kernels, whose channels stay.
        inexact: as in `tfprune.channels.plan`.
        backup: file for the scores and counts, beside whatever keeps the model itself: written at
            the end of every epoch and of training, read when training begins if it is there, so
            that a run that was stopped goes on as if it had not been.

    Raises:
        TypeError: if an argument is of the wrong kind.
        ValueError: if an argument is out of its range, the backend is not TensorFlow, the model has
            no graph or is pruned, or the target cannot be reached (the message says what can); in
            training, if the model is another one, the backup does not belong to the model as it is,
            or gradients are not seen.

    Warns:
        UserWarning: at the end of a `fit` that ends before the target or far from it, with numbers;
            if channels count as gone that are zero already; if what was gone had come back.

    Example:
        >>> layers = [keras.layers.Dense(8, "relu", name="a"), keras.layers.Dense(2, name="b")]
        >>> model = keras.Sequential([keras.Input((3,)), *layers])
        >>> model.compile("sgd", "mse")
        >>> taylor = IterativeTaylor(model, 0.5, frequency=1)
        >>> x, y = np.ones((8, 3), "float32"), np.ones((8, 2), "float32")
        >>> history = model.fit(x, y, batch_size=2, verbose=0, callbacks=[taylor])
        >>> taylor.plan.groups[0].kept
        4
    """

    def __init__(
        self,
        model: keras.Model,
        sparsity: float | None = None,
        *,
        macs: float | None = None,
        parameters: float | None = None,
        frequency: int = 30,
        per_update: int | None = None,
        momentum: float = 0.9,
        round_to: int = 1,
        min_kept: int = 1,
        rules: Rules | None = None,
        inexact: bool = False,
        backup: str | os.PathLike[str] | None = None,
    ):
        super().__init__()
        require_model("model", model)
        if keras.backend.backend() != "tensorflow":
            raise ValueError(
                "IterativeTaylor must be used on the TensorFlow backend, where the training step "
                f"hands out its gradients. Received: the backend {keras.backend.backend()!r}; "
                "tfprune.channels.plan works on any."
            )
        require_plain(model)
        fractions = {"sparsity": sparsity, "macs": macs, "parameters": parameters}
        require_one_given(**fractions)
        budget = budget_of(fractions)
        limits = Limits(
            require_integer("round_to", round_to, minimum=1),
            require_integer("min_kept", min_kept, minimum=1),
        )
        self._frequency = require_integer("frequency", frequency, minimum=1)
        if per_update is not None:
            require_integer("per_update", per_update, minimum=1)
        if require_number("momentum", momentum, minimum=0.0) >= 1.0:
            raise ValueError(f"`momentum` must be in [0, 1). Received: momentum={momentum}.")
        require_flag("inexact", inexact)
        if backup is not None:
            require_writable(backup, name="backup")
        self._reading = read(model)
        self._settled = self._reading.book.ledger.settle()
        gates = find_gates(self._reading, self._settled)
        self._gates = gates.axes
        groups = kept_groups(self._reading, self._settled, rules, limits, inexact=inexact)
        groups = [with_unscored_frozen(group, gates) for group in groups]
        removable = sum(int(group.removable.sum()) for group in groups)
        self._stepwise = Stepwise(
            model.name,
            self._settled.roots.size,
            groups,
            limits,
            Costs(self._reading, self._settled),
            budget,
            max(1, round(removable / _UPDATES)) if per_update is None else int(per_update),
            float(momentum),
        )
        self._stepwise.require_reachable()
        scaling = scaling_axes(self._reading, self._settled)
        with model.distribute_strategy.scope():  # its replicas add up each their own share
            self._watch = Watch(gates.axes, scaling, self._stepwise.size)
        self._progress = self._stepwise.begun(self._watch.zero())
        self._backup = backup
        self._own = self._read = False  # whether progress is of a training with this, or of backup
        self._begun = self._heard = False  # whether this training had a batch, and its gradients

    @property
    def plan(self) -> ChannelPlan:
        """The plan that removes what has gone until now; its scores are the running averages.

        Outputs of the smaller model are those of the model: what is gone is set to zero again, with
        a warning, if it was given other weights since.
        """
        if self._own:
            self._hold_again()
        elif not self._read:
            self._progress = self._stepwise.begun(self._watch.zero())
        scores, gone = self._progress.scores, self._progress.gone
        parts = [
            GroupPlan(group, scores[group.channels], gone[group.channels])
            for group in self._stepwise.groups
        ]
        return made_plan(self._reading, self._settled, parts, self._stepwise.costs, "Taylor gates")

    def set_model(self, model: keras.Model | None = None) -> None:
        if isinstance(self, keras.Model):  # the class itself is in the list of callbacks
            raise TypeError("`callbacks` must hold objects. Received: the class IterativeTaylor.")
        model = require_model("model", model, built=False)
        super().set_model(model)
        trained = each_once(model.trainable_variables)
        for weight in self._watch.weights:
            if weight not in trained:
                raise ValueError(
                    f"`model` must be the one given to IterativeTaylor, "
                    f"'{self._reading.model.name}', or have it as a part, and train what was "
                    f"trainable then. Received: model '{model.name}', which does not train "
                    f"'{weight.path}'."
                )

    def on_train_begin(self, logs: Logs = None) -> None:
        if getattr(self.model, "optimizer", None) is None:
            raise ValueError(
                f"Model '{self.model.name}' must be compiled before IterativeTaylor sees it "
                "trained. Received: a model without an optimizer."
            )
        self._begun = self._heard = False
        if not self._own:
            self._read_backup()
        self._watch.attach(self.model.optimizer)
        self._trace_again()

    def on_train_batch_begin(self, batch: int, logs: Logs = None) -> None:
        # Not before: another callback may have restored the weights in on_train_begin.
        if self._begun:
            return
        zero = self._watch.zero()
        if self._own:
            self._hold_again()
        elif self._backup is not None and self._read:
            with self._letting_go():
                require_belonging(self._backup, self._stepwise, self._progress.gone, zero)
            self._progress, more = self._stepwise.also_gone(self._progress, zero)
            tell_zeros(self._stepwise.groups, more)
        else:
            self._progress = self._stepwise.begun(zero)
            tell_zeros(self._stepwise.groups, self._progress.gone)
        self._begun = self._own = True
        self._watch.remove(self._progress.gone)

    def on_train_batch_end(self, batch: int, logs: Logs = None) -> None:
        if self._progress.finished:
            return
        due = self._watch.batches // self._frequency  # several with `steps_per_execution`
        if due:
            with self._letting_go():
                require_scored(self._gates, self._stepwise.removable & ~self._watch.scored)
            found = self._watch.take(due * self._frequency)
            for _ in range(due):
                if not self._progress.finished:
                    self._progress = self._stepwise.after(self._progress, found)
            self._watch.remove(self._progress.gone)

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        self._require_heard()
        if self._progress.finished:
            self._watch.take(self._watch.batches)  # no update does
        self._write_backup()

    def on_train_end(self, logs: Logs = None) -> None:
        self._let_go()
        if self._own:
            self._hold_again()  # averages of weights may have taken their place
        self._write_backup()
        if self._begun and not self._heard:  # a loop without epochs
            self._require_heard()
        tell_end(self._stepwise, self._progress)

    def _require_heard(self) -> None:
        self._heard = self._watch.heard()
        with self._letting_go():
            require_heard(self.model.name, self._heard)

    def _hold_again(self) -> None:
        """Set what is gone to zero where it has come back, and say so."""
        back = self._progress.gone & ~self._watch.zero()
        if back.any():
            self._watch.hold()
            if not self._watch.averages:
                tell_held_again(self._reading.model.name, int(back.sum()))

    @contextlib.contextmanager
    def _letting_go(self) -> Iterator[None]:
        try:
            yield
        except ValueError:
            self._let_go()
            raise

    def _let_go(self) -> None:
        self._watch.detach()
        self._trace_again()

    def _trace_again(self) -> None:
        if self.model.compiled:
            self.model.make_train_function(force=True)

    def _read_backup(self) -> None:
        self._read = self._backup is not None and os.path.exists(self._backup)
        sums, batches = np.zeros(self._stepwise.size), 0
        if self._backup is not None and self._read:
            sums, batches, progress = read_progress(self._backup, self._stepwise.size)
            self._progress = self._stepwise.resumed(progress)
        self._watch.restore(sums, batches)

    def _write_backup(self) -> None:
        if self._backup is not None:
            write_progress(self._backup, self._progress, self._watch.sums(), self._watch.batches)
