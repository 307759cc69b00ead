"""For every public parameter: an argument that is right.

It is found by the name of the parameter, since one name means one thing throughout; what differs
somewhere stands under "function.parameter". A new function whose parameters have known names needs
no entry.
"""

import functools
import os
import tempfile
from collections.abc import Callable
from typing import Any

import keras
import numpy as np

import tfprune
from tests.support.fake_evidence import FakeEvidence
from tests.support.public.api import RESULTS, parameters
from tfprune.scorers.inputs import LayerInputs

# Functions that take long, or write: their right arguments are not tried.
# They are made to fail by a file that is not there.
NOT_RUN = {"export.benchmark", "export.inspect_tflite", "export.lint", "export.to_tflite"}


class World:
    """Models, data and objects that arguments are taken from, made once."""

    def __init__(self) -> None:
        inputs, hidden = keras.Input((4,)), keras.layers.Dense(8, name="hidden")
        outputs = keras.layers.Dense(2, name="out")(hidden(inputs))
        self.model = keras.Model(inputs, outputs, name="plain")
        self.model.compile("sgd", "mse")
        self.pruned = tfprune.prune(self.model, tfprune.ConstantSparsity(0.5))
        self.pruned.compile("sgd", "mse")
        self.plan = tfprune.channels.plan(self.model, 0.25)
        random = np.random.default_rng(0)
        self.x = random.normal(size=(8, 4)).astype("float32")
        self.y = np.ones((8, 2), "float32")
        self.weights = {"w": random.normal(size=(4, 3)).astype("float32")}
        gradients = random.normal(size=(8, 4, 3)).astype("float32")
        inputs_of_w = LayerInputs(
            (self.x.T @ self.x)[None].astype(float), 8, lambda w: w[None], lambda w: w[0]
        )
        self.evidence = FakeEvidence({"w": gradients}, inputs={"w": inputs_of_w})
        self.folder = tempfile.mkdtemp()

    def state(self) -> list[Any]:
        """Everything that a refused call must leave as it was."""
        found: list[Any] = [os.listdir(self.folder)]
        for model in (self.model, self.pruned):
            found += [variable.numpy().tobytes() for variable in model.variables]
            found += [layer.trainable for layer in model.layers]
            found += [model.built, model.optimizer, model.stop_training]
        found += [layer.has_updater for layer in self.pruned.layers[1:]]
        return found


def _ranged(world: World) -> keras.Model:
    """A model that has learned the ranges of its activations."""
    model = tfprune.quantize_aware(world.model, activations=True)
    model(world.x, training=True)
    return model


def right_arguments(world: World) -> dict[str, Any]:
    """Name of a parameter -> an argument that is right; of those without a default that will do."""
    return {
        "attributes": ("kernel",),
        "begin_step": 0,
        "config": {},
        "distribution": "erk",
        "end_step": 10,
        "data": (world.x, world.y),
        "evidence": world.evidence,
        "final_sparsity": 0.5,
        "function": lambda step: 0.5,
        "groups": np.ones((4, 3), bool),
        "height": 2,
        "initial_sparsity": 0.0,
        "kept": 2,
        "layer": world.model.layers[1],
        "history": {"loss": [1.0]},
        "layers": ["out"],
        "layer_class": type("Unknown", (keras.layers.Layer,), {}),
        "log_dir": world.folder,
        "m": 4,
        "masks": {"w": np.arange(12).reshape(4, 3) % 2 == 0},
        "model": world.model,
        "path": os.path.join(world.folder, "file"),
        "paths": {"a": os.path.join(world.folder, "missing.tflite")},
        "previous": world.weights,
        "plan": world.plan,
        "small": tfprune.channels.prune(world.model, world.plan),
        "pruned": {"w": world.weights["w"] * 0.0},
        "schedule": tfprune.OneShot(0.5),
        "scorer": "magnitude",
        "scores": world.weights,
        "shape": (4, 3),
        "size": 12,
        "sparsities": {"w": 0.5},
        "sparsity": 0.5,
        "step": 3,
        "student": world.model,
        "structure": tfprune.Block(2, 1),
        "structures": {"w": tfprune.Unstructured()},
        "target": "x86",
        "target_sparsity": 0.5,
        "teacher": keras.models.clone_model(world.model),
        "to_prune": world.model,
        "weights": world.weights,
        "training": 100,
        "width": 1,
        "ChannelPlan": world.plan,
        "Block.expand.groups": np.ones((2, 3), bool),
        "Channel.expand.groups": np.ones(3, bool),
        "Block.group_scores.scores": world.weights["w"],
        "Block.mask.scores": world.weights["w"],
        "Channel.group_scores.scores": world.weights["w"],
        "Channel.mask.scores": world.weights["w"],
        "NofM.mask.scores": world.weights["w"],
        "Unstructured.group_scores.scores": world.weights["w"],
        "Unstructured.mask.scores": world.weights["w"],
        "PolynomialDecay.begin_step": 0,
        "PolynomialDecay.end_step": 10,
        "prune.schedule": tfprune.OneShot(0.5),
        "PruningUpdater.model": world.pruned,
        "export.to_tflite.path": os.path.join(world.folder, "no folder", "file"),
        "Report.to_html.path": os.path.join(world.folder, "page.html"),
        "Sensitivity.increases.path": "a/kernel",
        "Sensitivity.mean_increase.path": "a/kernel",
        "UpdatePruningStep.set_model.model": world.pruned,
        "compat.tfmot.UpdatePruningStep.set_model.model": world.pruned,
        "channels.IterativeTaylor.set_model.model": world.model,
        "compat.tfmot.PruneForLatencyOnXNNPack.ensure_model_supports_pruning.model": _mobile(),
        "compat.tfmot.strip_pruning.model": world.pruned,
        "masks.make_mask.scores": world.weights["w"],
        "channels.ChannelPlan.to_html.path": os.path.join(world.folder, "plan.html"),
        "channels.IterativeTaylor.sparsity": 0.25,
        "channels.plan.sparsity": 0.25,
        "compress.budget": {"macs": 0.6},
        "compress.measure": "loss",
        "compress.methods": ["rank"],
        "binarize.rules": [("out", True)],
        "compact_filters.model": keras.Sequential(
            [keras.Input((8, 8, 4)), keras.layers.Conv2D(32, 3)]
        ),
        "restructure.blocks": 1,
        "round_biases.model": _ranged(world),
        "round_biases.quantize": "int8",
        "ternarize.rules": [("out", True)],
        "factorize.rank": 1,
        "one_shot.data": None,
        "one_shot.scorer": "magnitude",
        "sensitivity.data": (world.x, world.y),
        "strip_pruning.model": world.pruned,
        "Block.from_config.config": {"height": 2, "width": 1},
        "ConstantSparsity.from_config.config": {"target_sparsity": 0.5},
        "FromFunction.from_config.config": _register_half().get_config(),
        "NofM.from_config.config": {"kept": 2, "m": 4},
        "OneShot.from_config.config": {"sparsity": 0.5},
        "PolynomialDecay.from_config.config": _POLYNOMIAL,
        "compat.tfmot.ConstantSparsity.from_config.config": {
            "target_sparsity": 0.5,
            "begin_step": 0,
        },
        "compat.tfmot.PolynomialDecay.from_config.config": _POLYNOMIAL,
        "Sensitivity": tfprune.Sensitivity("m", "Fisher", 8, 1.0, {"a/kernel": {0.5: 2.0}}),
        "Report": tfprune.report(world.model, verbose=False),
    }


_POLYNOMIAL = {"initial_sparsity": 0.0, "final_sparsity": 0.5, "begin_step": 0, "end_step": 9}


def arguments_of(world: World, name: str, owner: Any, method: str | None) -> dict[str, Any]:
    """Right arguments of a public function, by name; KeyError naming what is not known."""
    known = right_arguments_once(world)
    return {
        parameter: known[key] if (key := f"{name}.{parameter}") in known else known[parameter]
        for parameter, found in parameters(owner, method).items()
        if found.default is found.empty or f"{name}.{parameter}" in known
    }


def bound(world: World, name: str, owner: Any, method: str | None) -> Callable[..., Any]:
    """The function itself; a method, of an object made with right arguments."""
    if method is None:
        return owner
    if isinstance(vars(owner).get(method), classmethod) or method == "from_config":
        return getattr(owner, method)
    short = owner.__name__
    if short in RESULTS:
        return getattr(right_arguments_once(world)[short], method)
    constructor = name.removesuffix(f".{method}")
    return getattr(owner(**arguments_of(world, constructor, owner, None)), method)


@functools.cache
def right_arguments_once(world: World) -> dict[str, Any]:
    return right_arguments(world)


def _register_half() -> tfprune.FromFunction:
    return tfprune.FromFunction(keep_half)


@keras.saving.register_keras_serializable("tests")
def keep_half(step: int) -> float:
    """A schedule that Keras can write down."""
    return 0.5


def _mobile() -> keras.Model:
    layers = keras.layers
    return keras.Sequential(
        [
            keras.Input((8, 8, 3)),
            layers.ZeroPadding2D(1),
            layers.Conv2D(4, 3, strides=2),
            layers.Conv2D(4, 1),
            layers.GlobalAveragePooling2D(keepdims=True),
        ]
    )
