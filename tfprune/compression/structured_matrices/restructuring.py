"""restructure: Dense layers of a model replaced by structured matrices."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Literal, get_args

import keras
import numpy as np

from tfprune.compression.replacement_report import LayerReplacement, ReplacementReport
from tfprune.compression.structured_matrices.adaptive_fastfood import fastfood
from tfprune.compression.structured_matrices.circulant_blocks import circulant
from tfprune.compression.structured_matrices.diagonal_blocks import block_diagonal
from tfprune.compression.structured_matrices.monarch_matrix import monarch
from tfprune.compression.structured_matrices.structured_kernel import (
    Structured,
    relative_error,
)
from tfprune.keras_graph.chains import Chain
from tfprune.keras_graph.compiling import compile_like
from tfprune.keras_graph.replacing import (
    replace_layers,
    replaceable_layers,
    require_replaceable,
)
from tfprune.layer_classes.prunable import prunable_weights
from tfprune.sparsity.rules import parse_rules
from tfprune.support.arrays import host_array
from tfprune.support.validation import require_integer, require_one_of

Kind = Literal["monarch", "block_diagonal", "circulant", "fastfood"]
_KINDS: dict[Kind, Callable[[np.ndarray, int], Structured]] = {
    "monarch": monarch,
    "block_diagonal": block_diagonal,
    "circulant": circulant,
    "fastfood": fastfood,
}


def restructure(
    model: keras.Model,
    kind: Kind = "monarch",
    *,
    blocks: int = 32,
    rules: Sequence[tuple[str, int | None]] | None = None,
) -> tuple[keras.Model, ReplacementReport]:
    """Return a copy of the model with structured matrices in place of the kernels of Dense layers.

    Each is the nearest of its kind to the kernel (of "fastfood", near), as plain Keras layers. It
    is far from it all the same where the kernel has no such structure: train the model afterwards,
    best with `tfprune.distill` from the original.

    Args:
        model: Sequential or Functional, built, plain; it is not changed.
        kind: "monarch", two block-diagonal matrices and a permutation; "block_diagonal", one;
            "circulant", blocks that are turned vectors, which saves bytes and no multiply-adds;
            "fastfood", three diagonals and two Hadamard transforms.
        blocks: of a side at most, integer >= 1: of "monarch", the more the larger and nearer; of
            "block_diagonal" and "circulant", sizes are divided by about that. Not used by
            "fastfood".
        rules: list of (regex, blocks), as in `tfprune.prune`; None leaves a layer as it is.

    Returns:
        The model, compiled as `model` is with a fresh optimizer, and what became of each layer.
        Layers that would not become smaller stay, and the report says why.

    Raises:
        TypeError: if an argument is of the wrong kind.
        ValueError: if one is out of range, a rule matches nothing, no layer can be replaced, or the
            model has no graph or pruned layers.

    Example:
        >>> model = keras.Sequential([keras.Input((64,)), keras.layers.Dense(64, name="a")])
        >>> small, told = restructure(model, blocks=8)
        >>> small.count_params(), told.layers[0].by
        (1088, 'Monarch, 8 x 8 blocks')
    """
    known = require_replaceable(model, "be restructured")
    require_one_of("kind", kind, get_args(Kind))
    require_integer("blocks", blocks, minimum=1)
    paths = [weight.path for weight in known.weights]
    dense = [weight.path for weight in prunable_weights(known)]
    parsed = parse_rules(rules, dense, paths, partial(require_integer, minimum=1))
    chains: dict[keras.layers.Layer, Chain] = {}
    rows = []
    for layer, reason in replaceable_layers(known).items():
        kernels = prunable_weights(layer)
        if not kernels:
            continue
        size = sum(int(np.prod(kernel.shape)) for kernel in kernels)
        rule = next((rule for rule in parsed if rule.matches(kernels[0].path)), None)
        asked = rule.value if rule else blocks
        found = reason or ("left by a rule" if asked is None else _found(layer, kind, asked))
        if isinstance(found, str):
            rows.append(LayerReplacement(layer.name, None, size, size, None, found))
            continue
        structured, chains[layer] = found
        error = relative_error(structured.matrix, host_array(layer.kernel.value))
        after = structured.parameters
        rows.append(LayerReplacement(layer.name, structured.kind, size, after, error))
    if not chains:
        told = "; ".join(f"'{row.layer}': {row.remark}" for row in rows[:3])
        raise ValueError(
            f"At least one layer of '{known.name}' must get a structured matrix. Received: "
            f"kind={kind!r}, blocks={blocks}; {told or 'it has no layer with kernels'}."
        )
    small = replace_layers(known, chains)
    compile_like(known, small, "The restructured model")
    sizes = known.count_params(), small.count_params()
    return small, ReplacementReport(known.name, tuple(rows), *sizes)


def _found(layer: keras.layers.Layer, kind: Kind, blocks: int) -> tuple[Structured, Chain] | str:
    """Return the matrix and the layers for a layer, or why it stays."""
    if type(layer) is not keras.layers.Dense:
        return "only kernels of Dense layers are replaced"
    kernel = host_array(layer.kernel.value).astype("float64")
    if not np.isfinite(kernel).all():
        return "its kernel has entries that are no numbers"
    try:
        found = _KINDS[kind](kernel, blocks)
        if found.parameters >= kernel.size:
            return f"{found.kind}: {found.parameters:,} numbers are no fewer than {kernel.size:,}"
        filled = found.layers(layer, layer.input.shape[1:])
    except ValueError as error:
        return str(error)
    parts = [part for part, _ in filled]
    weights = [[np.asarray(array, "float32") for array in arrays] for _, arrays in filled]
    return found, Chain(parts, weights)
