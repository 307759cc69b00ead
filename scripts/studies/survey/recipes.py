"""What a user writes for each family, from a trained model to a file.

A recipe takes the trained model, what trains a model with its callbacks, the file to write, and how
strong the method is; it returns the model that was written and the report of the file. `train`
stands for `compile` and `fit`; a share is that of all steps of the recipe. Tables count the lines
of these functions.
"""

import ast
import inspect
import textwrap
from collections.abc import Callable
from typing import Any

import keras

import tfprune
from tfprune.export import ExportReport, to_tflite

Train = Callable[..., None]
Written = tuple[keras.Model, ExportReport]
Recipe = Callable[..., Written]


def dense(model: keras.Model, train: Train, path: str) -> Written:
    """The network as it is, in float32."""
    return model, to_tflite(model, path)


def pruning(model: keras.Model, train: Train, path: str, *, sparsity: float) -> Written:
    """Gradual pruning by magnitude, with one threshold over all layers."""
    schedule = tfprune.PolynomialDecay(0.0, sparsity, begin=0.0, end=0.6)
    pruned = tfprune.prune(model, schedule, distribution="global")
    train(pruned, tfprune.UpdatePruningStep(verbose=False))
    plain = tfprune.strip_pruning(pruned)
    return plain, to_tflite(plain, path, target="size")


def channels(model: keras.Model, train: Train, path: str, *, parameters: float) -> Written:
    """Channels and units removed by their L1 norm."""
    plan = tfprune.channels.plan(model, parameters=parameters)
    small = tfprune.channels.prune(model, plan)
    train(small)
    return small, to_tflite(small, path)


def clustering(model: keras.Model, train: Train, path: str, *, levels: int) -> Written:
    """A few values in each kernel."""
    clustered = tfprune.cluster(model, levels)
    train(clustered)
    plain = tfprune.strip_pruning(clustered)
    return plain, to_tflite(plain, path, target="size", quantize="int8_weights")


def int8(model: keras.Model, train: Train, path: str) -> Written:
    """Weights and activations in 8 bits, which training knows."""
    aware = tfprune.quantize_aware(model, activations=True)
    train(aware)
    return aware, to_tflite(aware, path, quantize="int8")


def int4(model: keras.Model, train: Train, path: str) -> Written:
    """Weights in 4 bits and activations in 8, which training knows."""
    aware = tfprune.quantize_aware(model, activations=True, bits=4)
    train(aware)
    return aware, to_tflite(aware, path, quantize="int4")


def low_rank(
    model: keras.Model, train: Train, path: str, *, parameters: float, examples: Any = None
) -> Written:
    """Products of smaller layers."""
    small, _ = tfprune.factorize(model, parameters=parameters, data=examples, verbose=False)
    train(small)
    return small, to_tflite(small, path)


def structured(
    model: keras.Model, train: Train, path: str, *, blocks: int, rules: Any = None
) -> Written:
    """Monarch matrices in place of dense kernels, taught by the original."""
    small, _ = tfprune.restructure(model, "monarch", blocks=blocks, rules=rules)
    train(tfprune.distill(small, model))
    return small, to_tflite(small, path)


def compact(model: keras.Model, train: Train, path: str, *, filters: str) -> Written:
    """Compact filters in place of convolutions, taught by the original."""
    small, _ = tfprune.compact_filters(model, filters)
    train(tfprune.distill(small, model))
    return small, to_tflite(small, path)


def binary(model: keras.Model, train: Train, path: str, *, keep_ends: bool = True) -> Written:
    """Signs, with one number a channel (BWN), taught by the original."""
    signs = tfprune.binarize(model, keep_ends=keep_ends)
    train(tfprune.distill(signs, model, temperature=4.0))
    plain = tfprune.strip_pruning(signs)
    return plain, to_tflite(plain, path, target="size", quantize="int8_weights")


def ternary(
    model: keras.Model, train: Train, path: str, *, scale: str, keep_ends: bool = True
) -> Written:
    """Signs and zeros, with numbers that are means (TWN) or trained (TTQ); taught."""
    few = tfprune.ternarize(model, scale=scale, keep_ends=keep_ends)
    train(tfprune.distill(few, model, temperature=4.0))
    plain = tfprune.strip_pruning(few)
    return plain, to_tflite(plain, path, target="size", quantize="int8_weights")


def distillation(
    model: keras.Model, train: Train, path: str, *, small: Callable[[], keras.Model]
) -> Written:
    """A smaller dense network that learns from the original."""
    student = small()
    train(tfprune.distill(student, model))
    return student, to_tflite(student, path)


def pruning_clustering(
    model: keras.Model, train: Train, path: str, *, sparsity: float, levels: int
) -> Written:
    """Pruned, then a few values in each kernel."""
    schedule = tfprune.PolynomialDecay(0.0, sparsity, begin=0.0, end=0.6)
    pruned = tfprune.prune(model, schedule, distribution="global")
    train(pruned, tfprune.UpdatePruningStep(verbose=False), share=0.7)
    clustered = tfprune.cluster(tfprune.strip_pruning(pruned), levels)
    train(clustered, share=0.3)
    plain = tfprune.strip_pruning(clustered)
    return plain, to_tflite(plain, path, target="size", quantize="int8_weights")


def pruning_int8(model: keras.Model, train: Train, path: str, *, sparsity: float) -> Written:
    """Pruned, then weights in 8 bits, which training knows; the file keeps them sparse."""
    schedule = tfprune.PolynomialDecay(0.0, sparsity, begin=0.0, end=0.6)
    pruned = tfprune.prune(model, schedule, distribution="global")
    train(pruned, tfprune.UpdatePruningStep(verbose=False), share=0.7)
    aware = tfprune.quantize_aware(tfprune.strip_pruning(pruned))
    train(aware, share=0.3)
    plain = tfprune.strip_pruning(aware)
    return plain, to_tflite(plain, path, target="size", quantize="int8_weights")


def channels_int8(model: keras.Model, train: Train, path: str, *, parameters: float) -> Written:
    """Fewer channels, then 8 bits, which training knows."""
    plan = tfprune.channels.plan(model, parameters=parameters)
    small = tfprune.channels.prune(model, plan)
    train(small, share=0.7)
    aware = tfprune.quantize_aware(small, activations=True)
    train(aware, share=0.3)
    return aware, to_tflite(aware, path, quantize="int8")


def low_rank_int8(
    model: keras.Model, train: Train, path: str, *, parameters: float, examples: Any = None
) -> Written:
    """Products of smaller layers, then 8 bits, which training knows."""
    small, _ = tfprune.factorize(model, parameters=parameters, data=examples, verbose=False)
    train(small, share=0.7)
    aware = tfprune.quantize_aware(small, activations=True)
    train(aware, share=0.3)
    return aware, to_tflite(aware, path, quantize="int8")


RECIPES: dict[str, tuple[str, Recipe]] = {
    "dense": ("dense", dense),
    "pruning": ("pruning", pruning),
    "channels": ("fewer channels", channels),
    "clustering": ("clustering", clustering),
    "int8": ("int8, in training", int8),
    "int4": ("4-bit weights, in training", int4),
    "low_rank": ("low rank", low_rank),
    "structured": ("Monarch matrices", structured),
    "compact": ("compact filters", compact),
    "binary": ("binary (BWN)", binary),
    "ternary": ("ternary (TWN)", ternary),
    "trained_ternary": ("ternary (TTQ)", ternary),
    "distillation": ("smaller, distilled", distillation),
    "pruning+clustering": ("pruning + clustering", pruning_clustering),
    "pruning+int8": ("pruning + int8", pruning_int8),
    "channels+int8": ("channels + int8", channels_int8),
    "low_rank+int8": ("low rank + int8", low_rank_int8),
}
CODED = ("clustering", "binary", "ternary", "trained_ternary", "pruning+clustering")


def lines_of(recipe: Recipe) -> int:
    """Return how many lines a recipe has, without its head, docstring, comments and blank lines.

    Example:
        >>> lines_of(dense), lines_of(int8)
        (1, 3)
    """
    source = textwrap.dedent(inspect.getsource(recipe))
    (definition,) = ast.parse(source).body
    assert isinstance(definition, ast.FunctionDef)
    body = definition.body[1 if ast.get_docstring(definition) else 0 :]
    lines = [line.strip() for line in source.splitlines()[body[0].lineno - 1 :]]
    return sum(bool(line) and not line.startswith("#") for line in lines)
