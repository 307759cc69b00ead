"""Files before and after the rewrites, run on the same inputs."""

import collections
import dataclasses

import keras
import numpy as np
from ai_edge_litert.interpreter import Interpreter
from keras import layers

from tfprune.export import rewrites
from tfprune.export.convert import converter
from tfprune.export.file import flatbuffer, signature
from tfprune.export.file.subgraph import Subgraph

EXACT = 1e-5  # the largest difference that rounding in another order may make


@dataclasses.dataclass(frozen=True)
class Rewritten:
    """One model's file before and after, and what was said about it."""

    before: bytes
    after: bytes
    said: tuple[str, ...]

    @property
    def graph(self):
        """The graph after the rewrites."""
        model = flatbuffer.parse(self.after, "after")
        return Subgraph(model, model.subgraphs[0])

    @property
    def operators(self):
        """How many operators of each kind there are after the rewrites."""
        return count_operators(self.after)


def image_model(*stack, size=32, channels=3):
    return keras.Sequential([keras.Input((size, size, channels)), *stack])


def separable(filters, strides=1, kernel=3):
    """A block of MobileNet."""
    return [
        layers.DepthwiseConv2D(kernel, strides=strides, padding="same"),
        layers.BatchNormalization(),
        layers.ReLU(6.0),
        layers.Conv2D(filters, 1, use_bias=False),
        layers.BatchNormalization(),
        layers.ReLU(6.0),
    ]


def randomize(model, sparsity=0.0):
    """Every weight random, so that no bias or statistic hides an error; kernels with zeros."""
    rng = np.random.default_rng(0)
    for weight in model.weights:
        values = rng.normal(size=weight.shape).astype("float32")
        if len(weight.shape) > 1:
            values *= (2 / np.prod(weight.shape[:-1])) ** 0.5
            if len(weight.shape) == 4:
                values *= rng.random(weight.shape) >= sparsity
        else:
            values = 0.7 + np.abs(values) if "variance" in weight.path else 0.3 * values
        weight.assign(values)
    return model


def rewrite(model, *, sparsity=0.0, quantize=None, free_batch=False, **options):
    signed = signature.signature_of(randomize(model, sparsity))
    if free_batch:
        free = [
            dataclasses.replace(entry, shape=(None, *entry.shape[1:])) for entry in signed.inputs
        ]
        signed = dataclasses.replace(signed, inputs=tuple(free))
    before = converter.convert(model, signed, quantize=quantize)
    after, said = rewrites.apply(before.model, **options)
    return Rewritten(before.content, flatbuffer.pack(after), said)


def run(content, batch=1):
    """The outputs by name, for random inputs that depend on their names and shapes only."""
    runner = Interpreter(model_content=content)
    if batch != 1:
        for detail in runner.get_input_details():
            runner.resize_tensor_input(detail["index"], [batch, *detail["shape"][1:]])
    signed = runner.get_signature_runner()
    arrays = {}
    for name, detail in sorted(signed.get_input_details().items()):
        rng = np.random.default_rng(len(arrays))
        shape = (batch, *detail["shape"][1:])
        arrays[name] = rng.normal(size=shape).astype("float32")
    return signed(**arrays)


def largest_difference(rewritten, batch=1):
    """The largest difference over all outputs, relative to the largest value."""
    before, after = run(rewritten.before, batch), run(rewritten.after, batch)
    assert before.keys() == after.keys()
    assert all(before[name].shape == after[name].shape for name in before)
    return max(
        np.abs(before[name] - after[name]).max() / np.abs(before[name]).max() for name in before
    )


def count_operators(content):
    model = flatbuffer.parse(content, "counted")
    return collections.Counter(
        flatbuffer.OPERATOR_NAMES[flatbuffer.builtin_code(model, operator)]
        for operator in model.subgraphs[0].operators
    )
