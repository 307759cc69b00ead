"""What layers see: X^T X of the inputs of every prunable weight, over a few batches.

The model runs eagerly, in inference mode and inside a `keras.StatelessScope`, so that no variable
changes; while it runs, the layers that own the weights have a spy in the place of their `call`.
Composite layers (recurrent layers, Bidirectional, attention, nested models) hold such layers
inside. Recurrent layers run as unrolled loops meanwhile, because a compiled loop (a cuDNN kernel,
`lax.scan` on JAX) shows no step's inputs. Timesteps hidden by a Keras mask do not count.

Of the rows of X that a batch has (convolutions: one an output position), as many are drawn at
random as make `_ROWS` over all batches for each of the d coordinates. Weights that are best for m
rows drawn alike from many cost 1 + d / m times the least on average, the excess of least squares:
less than one percent.

Memory: 8 d^2 bytes a slice (convolutions: d = kernel positions x input channels), and pieces of
patches of at most 8 MiB. Time: that of the eager model plus d^2 operations a row of X.
"""

import contextlib
import math
from collections.abc import Iterable, Iterator, Mapping

import keras
import numpy as np

from tfprune.calibration.spies import replaced
from tfprune.layer_classes.inputs import Arguments, Sight, sights
from tfprune.layer_classes.prunable import flatten
from tfprune.scorers.inputs import LayerInputs
from tfprune.support.arrays import host_array
from tfprune.support.tensors import Nest, Tensor

_LARGEST = 1 << 31  # bytes of X^T X of one weight
_ROWS = 128  # rows of X a coordinate

Mask = Tensor | list[Tensor] | tuple[Tensor, ...] | None  # of timesteps


def layer_inputs(
    model: keras.layers.Layer,
    weights: Mapping[str, keras.Variable],
    batches: Iterable[Nest],
    *,
    count: int | None = None,
) -> dict[str, LayerInputs]:
    """Return the second moments X^T X of the inputs of the named weights.

    Args:
        model: a built model or layer, called as model(x, training=False).
        weights: name -> variable of the model.
        batches: inputs x, each an array or a nest of arrays as the model takes it.
        count: number of batches, which says how many rows to draw from each; None takes all rows.

    Returns:
        name -> LayerInputs, in the order of `weights`.

    Raises:
        ValueError: naming the layer, if it is of a class whose inputs and weights are not known to
            form a product X W, is not called in these batches, runs inside a compiled function, or
            has more than 16,384 inputs (2 GiB of moments); or if there is no batch.

    Example:
        >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(3, name="out")])
        >>> kernel = model.layers[0].kernel
        >>> found = layer_inputs(model, {"out/kernel": kernel}, [np.array([[1.0, 2.0]])])
        >>> found["out/kernel"].moments[0].tolist()
        [[1.0, 2.0], [2.0, 4.0]]
    """
    watched = _watched(model, weights)
    totals = {name: _Total(sight, count) for name, sight in watched.items()}
    empty = True
    refused: list[ValueError] = []
    loops = [_Loop(part) for part in flatten(model) if isinstance(part, keras.layers.RNN)]
    with contextlib.ExitStack() as stack:
        for callee in dict.fromkeys(sight.callee for sight in watched.values()):
            seen = [total for total in totals.values() if total.sight.callee is callee]
            stack.enter_context(_spied(callee, seen, loops, refused))
        for loop in loops:  # after the spies: a cell's step is counted before its spy looks
            stack.enter_context(_unrolled(loop))
        for batch in batches:
            empty = False
            try:
                with keras.StatelessScope():
                    model(batch, training=False)
            except ValueError:
                if refused:  # without what Keras adds to the message on its way up
                    raise refused[0] from None
                raise
    if empty:
        raise ValueError("`batches` must hold at least one batch of inputs. Received none.")
    return {name: totals[name].result(name) for name in weights}


class _Total:
    """The running sum X^T X of one weight."""

    def __init__(self, sight: Sight, count: int | None):
        product, self.sight = sight.product, sight
        self.moments = np.zeros((product.slices, product.size, product.size))
        self.samples = 0
        self._quota = math.inf if count is None else math.ceil(_ROWS * product.size / count)
        self._random = np.random.default_rng(0)

    def add(self, arguments: Arguments) -> None:
        inputs = self.sight.read(arguments)
        if inputs is not None:
            moments, samples = self.sight.product.moments(inputs, self._chosen)
            self.moments += moments
            self.samples += samples

    def _chosen(self, rows: int) -> np.ndarray | None:
        if rows <= self._quota:
            return None
        return np.sort(self._random.choice(rows, int(self._quota), replace=False))

    def result(self, name: str) -> LayerInputs:
        if not self.samples:
            raise ValueError(
                f"Layer '{self.sight.callee.name}' must be called with inputs by the model in "
                f"these batches. Received: no call that uses '{name}'; leave it out with a rule."
            )
        product = self.sight.product
        return LayerInputs(self.moments, self.samples, product.to_matrix, product.from_matrix)


def moment_shapes(
    model: keras.layers.Layer, weights: Mapping[str, keras.Variable]
) -> dict[str, tuple[int, int]]:
    """Return (slices, d) of X^T X (slices, d, d) of the named weights; raises as `layer_inputs`.

    Example:
        >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(3, name="out")])
        >>> moment_shapes(model, {"out/kernel": model.layers[0].kernel})
        {'out/kernel': (1, 2)}
    """
    watched = _watched(model, weights)
    products = {name: watched[name].product for name in weights}
    return {name: (product.slices, product.size) for name, product in products.items()}


def _watched(model: keras.layers.Layer, weights: Mapping[str, keras.Variable]) -> dict[str, Sight]:
    """Return name -> where its inputs are seen, for every named weight, or raise."""
    parts = flatten(model)
    found: dict[str, Sight] = {}
    for part in parts:
        held = part.weights
        named = [name for name, weight in weights.items() if _is_among(weight, held)]
        if not named:
            continue
        try:
            seen = sights(part)
        except ValueError as error:
            raise _refusal(part, str(error)) from None
        for sight in seen:
            for name in (name for name in named if weights[name] is sight.weight):
                if name in found and found[name].callee is not sight.callee:
                    raise _refusal(part, f"shares '{name}' with '{found[name].callee.name}'")
                _check_size(part, sight)
                found[name] = sight
    for name, weight in weights.items():
        if name not in found:
            owners = [part for part in parts if _is_among(weight, part.weights)]
            owner = min(owners, key=lambda part: len(flatten(part)), default=model)
            raise _refusal(owner, f"holds '{name}' in a form whose inputs are not known")
    return found


def _is_among(weight: keras.Variable, variables: list[keras.Variable]) -> bool:
    return any(weight is variable for variable in variables)


def _check_size(part: keras.layers.Layer, sight: Sight) -> None:
    needed = 8 * sight.product.slices * sight.product.size**2
    if needed > _LARGEST:
        raise _refusal(
            part, f"has {sight.product.size:,} inputs, whose moments take {needed / 1e9:.1f} GB"
        )


def _refusal(part: keras.layers.Layer, why: str) -> ValueError:
    kind, name = type(part).__name__, getattr(part, "name", None)
    return ValueError(
        f"Layer '{name}' ({kind}) cannot be reconstructed from its inputs: it {why}. Leave it out "
        "with a rule."
    )


class _Loop:
    """The step that an unrolled recurrent loop is at, and the timestep mask of its sequences."""

    def __init__(self, layer: keras.layers.Layer):
        self.layer = layer
        cell = layer.cell
        self.inside = set(flatten(cell)) if isinstance(cell, keras.Layer) else set()
        self.running = False
        self.mask: np.ndarray | None = None
        self.step = 0

    def begin(self, mask: Mask) -> None:
        mask = mask[0] if isinstance(mask, (list, tuple)) else mask
        self.mask = None if mask is None else np.asarray(host_array(mask)).astype(bool)
        if self.mask is not None and self.layer.go_backwards:
            self.mask = self.mask[:, ::-1]
        self.running, self.step = True, -1

    def visible(self) -> np.ndarray | None:
        """Return which sequences of the batch count at this step; None for all."""
        return None if self.mask is None else self.mask[:, self.step]


@contextlib.contextmanager
def _spied(
    layer: keras.layers.Layer, totals: list[_Total], loops: list[_Loop], refused: list[ValueError]
) -> Iterator[None]:
    """Add what `call` of the layer is given to the totals; note why that cannot be done."""
    original = layer.call
    around = [loop for loop in loops if layer in loop.inside]

    def call(*args: Nest, **kwargs: Nest) -> Nest:
        # Keras calls stacked cells once more before a loop, to prepare dropout masks.
        running = [loop for loop in around if loop.running]
        if running or not around:
            arguments = Arguments(args, kwargs, running[-1].visible() if running else None)
            try:
                _require_eager(arguments)
                for total in totals:
                    total.add(arguments)
            except ValueError as error:
                refused.append(_refusal(layer, str(error)))
                raise refused[-1] from error
        return original(*args, **kwargs)

    with replaced(layer, call=call):
        yield


@contextlib.contextmanager
def _unrolled(loop: _Loop) -> Iterator[None]:
    """Run the recurrent layer as a Python loop and follow its steps."""
    layer, cell = loop.layer, loop.layer.cell
    loop_of_layer, call_of_cell = layer.inner_loop, cell.call

    def inner_loop(
        sequences: Tensor, initial_state: Nest, mask: Mask, training: bool = False
    ) -> Nest:
        loop.begin(mask)
        try:
            return loop_of_layer(sequences, initial_state, mask, training=training)
        finally:
            loop.running = False

    def call(*args: Nest, **kwargs: Nest) -> Nest:
        loop.step += 1
        return call_of_cell(*args, **kwargs)

    fused = {"use_cudnn": False} if hasattr(layer, "use_cudnn") else {}
    with (
        replaced(layer, inner_loop=inner_loop, unroll=True, **fused),
        replaced(cell, call=call),
    ):
        yield


def _require_eager(arguments: Arguments) -> None:
    try:
        host_array(arguments.inputs)
    except (NotImplementedError, TypeError, ValueError) as error:
        raise ValueError(
            "runs inside a compiled function (tf.function, jax.jit), which hides them"
        ) from error
