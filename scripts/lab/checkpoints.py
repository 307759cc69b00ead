"""Checkpoints of a training: every variable in one file, so that it goes on exactly as it was."""

import json
import sys
import time
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np

from scripts.lab.measuring import where
from scripts.lab.options import CHANGED
from tfprune.support.arrays import host_array
from tfprune.support.files import replacing, require_writable

# RuntimeError: what zipfile takes for an encrypted or an unknown kind of archive.
_UNREADABLE = (OSError, EOFError, KeyError, RuntimeError, TypeError, ValueError, zipfile.BadZipFile)

_ENTRIES = {"settings", "made_by", "spent", "trained_on"}  # all but the variables


class Checkpoint(keras.callbacks.Callback):
    """Writes all that a training needs to go on, at the end of every epoch.

    These are the variables of the model (weights, masks, LSTM states and the states of dropout
    among them) and of the optimizer, the time that was spent, and where the training ran.

    Args:
        path: file to write, .npz; None writes none.
        settings: plain values of which all have to be the same when it is read.
        made_by: fingerprints of the code and the data.
        changed: what to do with a file that was made by others: "refuse" it, "start-over", which
            begins the training anew, or "go-on" with it.
        further: variables that belong to the training but to neither model nor optimizer.

    Raises:
        ValueError: if `changed` is none of these.
    """

    def __init__(
        self,
        path: Path | None,
        settings: dict[str, Any],
        made_by: dict[str, str] | None = None,
        *,
        changed: str = "refuse",
        further: Sequence[keras.Variable] = (),
    ):
        super().__init__()
        if changed not in CHANGED:
            raise ValueError(
                f"`changed` must be one of {', '.join(CHANGED)}. Received: changed={changed!r}"
            )
        self._path = path
        self._settings = json.dumps(settings, sort_keys=True)
        self._made_by = json.dumps(made_by or {}, sort_keys=True)
        self._changed = changed
        self._further = [*further]
        self._trained_on: list[str] | None = []  # None: not known
        self._begun = time.perf_counter(), time.process_time()

    def spent(self) -> dict[str, Any]:
        """Return `seconds` and `cpu_seconds` since this was made, and all that the file had.

        Besides `trained_on`, every place of the training as of `measuring.where`, if that is known.
        """
        seconds, cpu_seconds = self._times()
        places = {"trained_on": [*self._trained_on]} if self._trained_on else {}
        return {"seconds": seconds, "cpu_seconds": cpu_seconds, **places}

    def _times(self) -> tuple[float, float]:
        wall, processor = self._begun
        return round(time.perf_counter() - wall, 2), round(time.process_time() - processor, 2)

    def on_train_begin(self, logs=None):
        if self._trained_on is None:
            return
        here, before = where(), ", then ".join(self._trained_on)
        if self._trained_on and self._trained_on != [here]:
            said = f"{self._path} was begun by {before}, goes on by {here}"
            print(said, file=sys.stderr, flush=True)
        self._trained_on = [*dict.fromkeys([*self._trained_on, here])]

    def on_epoch_end(self, epoch, logs=None):
        if self._path is not None:
            self._write(self._path)

    def _write(self, path: Path) -> None:
        content: dict[str, Any] = {
            str(position): host_array(variable.value)
            for position, variable in enumerate(self._variables(self.model))
        }
        content["settings"], content["made_by"] = self._settings, self._made_by
        content["spent"] = np.array(self._times())
        if self._trained_on is not None:
            content["trained_on"] = json.dumps(self._trained_on)
        try:
            with replacing(path, name="--checkpoints") as new:
                np.savez(new, **content)
        except OSError as error:
            raise ValueError(f"{path} cannot be written: {error.strerror or error}") from error

    def restore(self, model: keras.Model) -> int:
        """Set a compiled model, its optimizer and the times to those of the file, if there is one.

        Returns:
            Optimizer steps made until then; 0 without a file.

        Raises:
            ValueError: if the file is damaged, of another training, was made by other code or data
                and is to be refused then, or cannot be written later on; nothing has changed then.
        """
        model.optimizer.build(model.trainable_variables)
        if self._path is None:
            return 0
        _require_writable(self._path)
        if not self._path.exists():
            return 0
        try:
            with open(self._path, "rb") as file, np.load(file, allow_pickle=False) as content:
                settings = dict(json.loads(str(content["settings"])))
                seconds, cpu_seconds = map(float, content["spent"])
                made_by = dict(json.loads(str(content["made_by"])))
                trained_on = _places(content)
                others = len(_ENTRIES & {*content.files})
                arrays = [content[str(n)] for n in range(len(content.files) - others)]
        except _UNREADABLE as error:
            reason = " ".join(str(error).split())
            raise ValueError(
                f"{self._path} is a damaged checkpoint; delete it to begin anew ({reason})"
            ) from error
        if made_by != json.loads(self._made_by) and not self._goes_on(made_by):
            return 0
        self._require_same(settings, model, arrays)
        for variable, array in zip(self._variables(model), arrays):
            variable.assign(array)
        self._begun = self._begun[0] - seconds, self._begun[1] - cpu_seconds
        self._trained_on = trained_on
        return int(model.optimizer.iterations.numpy())

    def _goes_on(self, there: dict[str, str]) -> bool:
        """Say that code or data have changed, and whether the file counts all the same."""
        here = json.loads(self._made_by)
        names = [name for name in here if there.get(name) != here[name]]
        what = f"{self._path} was made by other {' and '.join(names)} than there is today"
        if self._changed == "refuse":
            raise ValueError(
                f"{what}; --changed start-over begins this training anew, --changed go-on takes it "
                "up all the same"
            )
        done = {"start-over": "begun anew", "go-on": "taken up all the same"}[self._changed]
        print(f"{what}: {done}", file=sys.stderr, flush=True)
        return self._changed == "go-on"

    def _require_same(
        self, there: dict[str, Any], model: keras.Model, arrays: list[np.ndarray]
    ) -> None:
        variables, here = self._variables(model), json.loads(self._settings)
        differences = [
            f"{name} {there.get(name)!r} there, {here.get(name)!r} here"
            for name in sorted({*there, *here})
            if there.get(name) != here.get(name)
        ]
        if len(variables) != len(arrays):
            differences.append(f"{len(arrays)} variables there, {len(variables)} here")
        differences += _other_shapes(variables, arrays)
        if differences:
            raise ValueError(
                f"{self._path} is a checkpoint of another training ({differences[0]}); use another "
                "folder, or delete it to begin anew"
            )

    def _variables(self, model: keras.Model) -> list[keras.Variable]:
        """Each variable of model and optimizer once; metrics are begun anew at every epoch."""
        measured = {id(variable) for metric in model.metrics for variable in metric.variables}
        found = {id(v): v for v in [*model.variables, *model.optimizer.variables, *self._further]}
        return [variable for key, variable in found.items() if key not in measured]


def _places(content: Mapping[str, np.ndarray]) -> list[str] | None:
    """Return where a checkpoint was trained; older ones do not know it."""
    if "trained_on" not in content:
        return None
    places = json.loads(str(content["trained_on"]))
    if not isinstance(places, list) or not all(isinstance(place, str) for place in places):
        raise ValueError("`trained_on` is no list of texts")
    return places


def load_weights(model: keras.Model, path: Path) -> None:
    """Set a model's variables to those of a checkpoint, with or without an optimizer.

    Raises:
        ValueError: if the file cannot be read, or is of another model; nothing has changed then.
    """
    variables = model.variables
    try:
        with open(path, "rb") as file, np.load(file, allow_pickle=False) as content:
            arrays = [content[str(position)] for position in range(len(variables))]
    except _UNREADABLE as error:
        reason = " ".join(str(error).split())
        raise ValueError(f"{path} must be a checkpoint of '{model.name}' ({reason})") from error
    if differences := _other_shapes(variables, arrays):
        raise ValueError(f"{path} must be a checkpoint of '{model.name}' ({differences[0]})")
    for variable, array in zip(variables, arrays, strict=True):
        variable.assign(array)


def _other_shapes(variables: Sequence[keras.Variable], arrays: Sequence[np.ndarray]) -> list[str]:
    """Return in words where the shapes of a file are others than those of the variables."""
    return [
        f"{variable.path} {array.shape} there, {tuple(variable.shape)} here"
        for variable, array in zip(variables, arrays)
        if tuple(variable.shape) != array.shape
    ]


def _require_writable(path: Path) -> None:
    """Make the folder of a file that is to be written, now rather than after the first epoch."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ValueError(
            f"`--checkpoints` must be a writable folder. Received: {path.parent} "
            f"({error.strerror})"
        ) from error
    require_writable(path, name="--checkpoints")
