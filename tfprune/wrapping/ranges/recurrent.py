"""Recurrent cells as LiteRT computes them unrolled: a range after each operation of a step.

The gates' sigmoid and tanh have the ranges of LiteRT's kernels. All steps share the range of a
point, since in the file a weight is one constant with the same consumers in every step.
"""

from keras import layers, ops

from tfprune.support.tensors import Tensor
from tfprune.wrapping.ranges.activation_range import SIGNED, UNIT, rounded_to
from tfprune.wrapping.ranges.inside import Inside, Ranged

_INTERVALS = {"sigmoid": UNIT, "tanh": SIGNED}


def _gate(activation: object, tensor: Tensor) -> Tensor:
    """An activation, rounded where its range is known; relu is fused with what it is given."""
    interval = _INTERVALS.get(getattr(activation, "__name__", ""))
    value = activation(tensor) if callable(activation) else tensor
    return value if interval is None else rounded_to(value, interval)


def _dropped(cell: layers.Layer, inputs: Tensor, hidden: Tensor, training: bool) -> list[Tensor]:
    """Inputs and hidden state with the cell's own dropout, one mask for all gates."""
    if training and 0.0 < cell.dropout < 1.0:
        mask = cell.get_dropout_mask(inputs)
        inputs = inputs * (mask[0] if isinstance(mask, list | tuple) else mask)
    if training and 0.0 < cell.recurrent_dropout < 1.0:
        mask = cell.get_recurrent_dropout_mask(hidden)
        hidden = hidden * (mask[0] if isinstance(mask, list | tuple) else mask)
    return [inputs, hidden]


def _biased(cell: layers.Layer, tensor: Tensor, bias: Tensor | None) -> Tensor:
    return tensor if bias is None else ops.add(tensor, bias)


def _lstm(
    cell: layers.LSTMCell,
    ranged: Ranged,
    inputs: Tensor,
    states: list[Tensor],
    training: bool = False,
) -> tuple[Tensor, list[Tensor]]:
    hidden, carry = states
    inputs, before = _dropped(cell, inputs, hidden, training)
    given = _biased(cell, ops.matmul(inputs, cell.kernel), cell.bias if cell.use_bias else None)
    given = ranged("given", given)
    recurrent = ranged("recurrent", ops.matmul(before, cell.recurrent_kernel))
    gates = ranged("gates", given + recurrent)
    i, f, g, o = ops.split(gates, 4, axis=1)
    i, f, o = (_gate(cell.recurrent_activation, gate) for gate in (i, f, o))
    new = ranged("new", i * _gate(cell.activation, g))
    carry = ranged("carry", ranged("kept", f * carry) + new)
    hidden = ranged("hidden", o * _gate(cell.activation, carry))
    return hidden, [hidden, carry]


def _gru(
    cell: layers.GRUCell,
    ranged: Ranged,
    inputs: Tensor,
    states: Tensor | list[Tensor],
    training: bool = False,
) -> tuple[Tensor, list[Tensor]]:
    hidden = states[0] if isinstance(states, list | tuple) else states
    inputs, before = _dropped(cell, inputs, hidden, training)
    bias = recurrent_bias = None
    if cell.use_bias:
        bias = cell.bias[0] if cell.reset_after else cell.bias
        recurrent_bias = cell.bias[1] if cell.reset_after else None
    given = ranged("given", _biased(cell, ops.matmul(inputs, cell.kernel), bias))
    given_z, given_r, given_h = ops.split(given, 3, axis=1)
    kernel = cell.recurrent_kernel
    two = 2 * cell.units
    if cell.reset_after:
        inner = ranged("recurrent", _biased(cell, ops.matmul(before, kernel), recurrent_bias))
        inner_z, inner_r, inner_h = ops.split(inner, 3, axis=1)
    else:
        inner = ranged("recurrent", ops.matmul(before, kernel[:, :two]))
        inner_z, inner_r = ops.split(inner, 2, axis=1)
    z = _gate(cell.recurrent_activation, ranged("update", given_z + inner_z))
    r = _gate(cell.recurrent_activation, ranged("reset", given_r + inner_r))
    if cell.reset_after:
        inner_h = ranged("recalled", r * inner_h)
    else:
        recalled = ranged("recalled", r * before)
        inner_h = ranged("candidate_recurrent", ops.matmul(recalled, kernel[:, two:]))
    candidate = _gate(cell.activation, ranged("candidate", given_h + inner_h))
    kept = ranged("kept", z * hidden)
    new = ranged("new", ranged("rest", ops.subtract(1.0, z)) * candidate)
    hidden = ranged("hidden", kept + new)
    return hidden, [hidden]


def _simple(
    cell: layers.SimpleRNNCell,
    ranged: Ranged,
    inputs: Tensor,
    states: Tensor | list[Tensor],
    training: bool = False,
) -> tuple[Tensor, list[Tensor]]:
    hidden = states[0] if isinstance(states, list | tuple) else states
    inputs, before = _dropped(cell, inputs, hidden, training)
    given = _biased(cell, ops.matmul(inputs, cell.kernel), cell.bias if cell.use_bias else None)
    given = ranged("given", given)
    recurrent = ranged("recurrent", ops.matmul(before, cell.recurrent_kernel))
    outputs = _gate(cell.activation, ranged("sum", given + recurrent))
    for point in _unless_fixed(cell):
        outputs = ranged(point, outputs)
    return outputs, [outputs]


_LSTM = Inside(("given", "recurrent", "gates", "new", "kept", "carry", "hidden"), _lstm)
_GRU = ("given", "recurrent", "update", "reset", "recalled", "candidate", "kept", "rest", "new")


def recurrent_inside(layer: layers.Layer) -> Inside | None:
    """Return the ranges inside a recurrent cell; None for any other layer."""
    if isinstance(layer, layers.LSTMCell):
        return _LSTM
    if isinstance(layer, layers.GRUCell):
        more = () if layer.reset_after else ("candidate_recurrent",)
        return Inside((*_GRU, "hidden", *more), _gru)
    if isinstance(layer, layers.SimpleRNNCell):
        return Inside(("given", "recurrent", "sum", *_unless_fixed(layer)), _simple)
    return None


def _unless_fixed(cell: layers.SimpleRNNCell) -> tuple[str, ...]:
    return () if getattr(cell.activation, "__name__", "") in _INTERVALS else ("hidden",)
