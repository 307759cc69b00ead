"""restructure: Dense layers of a model replaced by structured matrices."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Literal, get_args

import keras
import numpy as np

from tfprune.compression.replacement_report import ReplacementReport
from tfprune.compression.structured_matrices.adaptive_fastfood import fastfood
from tfprune.compression.structured_matrices.circulant_blocks import circulant
from tfprune.compression.structured_matrices.diagonal_blocks import block_diagonal
from tfprune.compression.structured_matrices.monarch_matrix import monarch
from tfprune.compression.structured_matrices.structured_kernel import Structured
from tfprune.compression.substitutes import Substitute, no_smaller, substitute
from tfprune.keras_graph.chains import Chain
from tfprune.keras_graph.replacing import require_replaceable
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
    return substitute(
        known,
        partial(_found, kind),
        blocks,
        rules,
        what="a structured matrix",
        received=f"kind={kind!r}, blocks={blocks}",
        result="The restructured model",
    )


def _found(kind: Kind, layer: keras.layers.Layer, blocks: int) -> Substitute | str:
    """Return the layers of a structured matrix for a layer, or why it stays."""
    if type(layer) is not keras.layers.Dense:
        return "only kernels of Dense layers are replaced"
    kernel = host_array(layer.kernel.value).astype("float64")
    if not np.isfinite(kernel).all():
        return "its kernel has entries that are no numbers"
    try:
        found = _KINDS[kind](kernel, blocks)
        useless = no_smaller(found.kind, found.parameters, kernel.size)
        if useless:
            return useless
        filled = found.layers(layer, layer.input.shape[1:])
    except ValueError as error:
        return str(error)
    parts = [part for part, _ in filled]
    weights = [[np.asarray(array, "float32") for array in arrays] for _, arrays in filled]
    return Substitute(found.kind, found.matrix, found.parameters, Chain(parts, weights))
