"""Recurrent layers, and the wrappers that call a layer at every step or in both directions."""

import keras
import numpy as np

from tfprune.channels.coupling.call_site import (
    Keeping,
    Opaque,
    Site,
    channel_axis,
    kind_of,
    place,
)
from tfprune.channels.coupling.ledger import Labels
from tfprune.channels.coupling.rules.elementwise import require_elementwise
from tfprune.layer_classes.weight_axes import Operand
from tfprune.support.by_identity import each_once

_CELLS = {"SimpleRNN": "units", "LSTM": "units", "GRU": "units"}
_CONVOLUTIONAL = {f"ConvLSTM{rank}D": "filters" for rank in (1, 2, 3)}


def _recurrent(site: Site) -> list[Labels]:
    units = _units(site)
    for labels, shape in site.argument("initial_state"):
        site.tie(units, site.vector(labels, shape, _axis(site)))
    _keep_constant_states(site, units)
    return [place(units, len(shape), _axis(site)) for shape in site.out_shapes]


def _keep_constant_states(site: Site, units: Labels) -> None:
    """Freeze units whose states begin with a constant array, which would have to be cut, too."""
    begin = keras.tree.flatten(site.arguments.get("initial_state"))
    if not all(state is None or isinstance(state, keras.KerasTensor) for state in begin):
        site.book.ledger.freeze(units, f"'{site.name}' begins with a constant state")


def _axis(site: Site) -> int:
    return channel_axis(site.operation) if site.kind in _CONVOLUTIONAL else -1


def _units(site: Site) -> Labels:
    """Say whose the weights of one recurrent layer are; return its units."""
    layer = site.operation
    size = (_CELLS | _CONVOLUTIONAL).get(site.kind)
    cell = "ConvLSTMCell" if site.kind in _CONVOLUTIONAL else f"{site.kind}Cell"
    if size is None or kind_of(layer.cell) != cell:
        raise Opaque(f"its cell is of class {type(getattr(layer, 'cell', layer)).__name__}")
    # Keras does not track its own states; a class of one's own may have them among its weights.
    tracked = each_once(layer.weights)
    states = [item for item in keras.tree.flatten(layer.states or ()) if item in tracked]
    owned = site.owned(layer if site.kind in _CONVOLUTIONAL else layer.cell, states)
    if site.kind in _CONVOLUTIONAL:
        # Behind the batch its inputs have steps first, which the channel axis is counted behind.
        labels, shape = site.inputs[0], site.shapes[0]
        read = site.vector(labels, shape, -1 if _axis(site) == -1 else 1)
    else:
        read = site.along(0, -1)
    units = site.own("units", getattr(layer, size))
    # Behind the batch come the steps, and in convolutional cells the positions of a state.
    places = site.shapes[0][:1] + _positions(site)
    for own in owned:
        operand = own.axes.operand
        if operand is not None:
            site.multiply(own.weight, places)
        for axis in own.axes.inputs:
            channels = read if operand is Operand.INPUTS else units
            site.weigh(own.weight, axis, channels, reads=True)
        for axis in own.axes.outputs:
            made = np.tile(units, own.axes.gates)
            site.weigh(own.weight, axis, made, makes=operand is not None)

    for state in states:
        site.weigh(state, 1 if _axis(site) == 0 else len(state.shape) - 1, units)

    def change(config: dict[str, object], keeping: Keeping) -> None:
        config[size] = keeping.count(units)

    site.resize(change)
    for name in ("activation", "recurrent_activation"):
        require_elementwise(site, units, getattr(layer, name, None))
    return units


def _positions(site: Site) -> tuple[int | None, ...]:
    """Return the positions of a convolutional cell's state; none for other cells."""
    if site.kind not in _CONVOLUTIONAL:
        return ()
    shape = site.out_shapes[0]
    state = shape[-1 - int(site.kind[-2]) :]
    return state[1:] if _axis(site) == 0 else state[:-1]


def _bidirectional(site: Site) -> list[Labels]:
    layer = site.operation
    forward, backward = layer.forward_layer, layer.backward_layer
    sides = [site.at(inner, site.inputs[:1], 0) for inner in (forward, backward)]
    units = [_units(side) for side in sides]
    states = site.argument("initial_state")
    for number, (labels, shape) in enumerate(states):
        site.tie(units[2 * number // len(states)], site.vector(labels, shape, -1))
    _keep_constant_states(site, np.concatenate(units))
    # Keras takes it that both directions are as wide.
    site.tie(*units)

    def change(config: dict[str, object], keeping: Keeping) -> None:
        for key, inner in (("layer", forward), ("backward_layer", backward)):
            resize_inner(config, key, site.book.resizes[inner], keeping)

    site.resize(change)
    merged = [np.concatenate(units)] if layer.merge_mode == "concat" else units[:1]
    merged = units if layer.merge_mode is None else merged
    found = [place(vector, len(shape), -1) for vector, shape in zip(merged, site.out_shapes)]
    ends = site.out_shapes[len(found) :]
    return found + [place(units[2 * i // len(ends)], 1, -1) for i in range(len(ends))]


def resize_inner(config: dict[str, object], key: str, change: object, keeping: Keeping) -> None:
    """Change the config of a layer inside that of its wrapper."""
    inner = config[key]
    assert isinstance(inner, dict) and callable(change)
    inner = {name: value for name, value in inner.items() if name != "build_config"}
    inner["config"] = dict(inner["config"])
    change(inner["config"], keeping)
    config[key] = inner


RULES = {
    **dict.fromkeys((*_CELLS, *_CONVOLUTIONAL), _recurrent),
    "Bidirectional": _bidirectional,
}
