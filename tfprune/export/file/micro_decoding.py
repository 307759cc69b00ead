"""Reading back what TFLM_DECODE expands; the layouts are in `tfprune.export.encode.micro`."""

import numpy as np

from tfprune.export.file import flatbuffer
from tfprune.export.file.subgraph import OPERATORS, Subgraph, subgraphs
from tfprune.export.file.tables import Model, Operator

DECODE = "TFLM_DECODE"

_HEADER_BYTES = 16
_LOOKUP, _HUFFMAN, _BIT_MASK = 0, 1, 2
_ONE_TABLE = 15
_LARGEST_EXPANSION = 8  # values from one byte, one bit each: no real file describes more


def is_decoder(subgraph: Subgraph, operator: Operator) -> bool:
    """Whether an operator expands constants."""
    custom = subgraph.code(operator) == OPERATORS.CUSTOM
    return custom and flatbuffer.custom_name(subgraph.model, operator) == DECODE


def plain(model: Model) -> Model:
    """A model in which every constant is stored dense, so that any runtime can read it.

    Args:
        model: A parsed model, which stays as it is.

    Raises:
        ValueError: If an encoded constant is damaged.
    """
    model = flatbuffer.copied(model)
    for subgraph in subgraphs(model):
        for operator in subgraph.operators:
            if is_decoder(subgraph, operator):
                _expand(subgraph, operator)
        subgraph.table.operators = [
            operator for operator in subgraph.operators if not is_decoder(subgraph, operator)
        ]
    return model


def _expand(subgraph: Subgraph, operator: Operator) -> None:
    """Makes constants of what one operator writes."""
    inputs, outputs = operator.inputs.tolist(), operator.outputs.tolist()
    _require(len(inputs) == 2 * len(outputs), f"{len(inputs)} inputs for {len(outputs)} outputs")
    for codes, ancillary, wide in zip(inputs[::2], inputs[1::2], outputs):
        tensor = subgraph.tensor(wide)
        _require(tensor.type in flatbuffer.NUMPY_TYPES, f"type {tensor.type}")
        values = expanded(
            _bytes(subgraph, codes),
            _bytes(subgraph, ancillary),
            np.dtype(flatbuffer.NUMPY_TYPES[tensor.type]),
            subgraph.shape(wide),
        )
        tensor.buffer = flatbuffer.add_buffer(subgraph.model, values)
        tensor.name = subgraph.tensor(codes).name


def _bytes(subgraph: Subgraph, index: int) -> np.ndarray:
    data = subgraph.model.buffers[subgraph.tensor(index).buffer].data
    _require(data is not None, f"no values in {subgraph.name(index)!r}")
    return np.asarray(data, np.uint8)


def expanded(
    codes: np.ndarray, ancillary: np.ndarray, dtype: np.dtype, shape: tuple[int, ...]
) -> np.ndarray:
    """Expands one constant; zero points are taken for 0.

    Args:
        codes: uint8, the encoded tensor.
        ancillary: uint8, the tensor beside it.
        dtype: The type of the values.
        shape: Their shape.

    Raises:
        ValueError: If the parts do not fit each other.

    Example:
        >>> header = np.array([2, 1, 0, 0, 1, *[0] * 11, 5, 7], np.uint8)
        >>> expanded(np.array([65], np.uint8), header, np.dtype(np.int8), (2, 4)).tolist()
        [[0, 5, 0, 0], [0, 0, 0, 7]]
    """
    size = int(np.prod(shape, dtype=np.int64))
    _require(len(ancillary) >= _HEADER_BYTES, f"a header of {len(ancillary)} bytes")
    _require(0 <= size <= _LARGEST_EXPANSION * len(codes), f"{size} values from {len(codes)} bytes")
    kind, parameters = int(ancillary[0]), [int(each) for each in ancillary[5:7]]
    table = ancillary[_HEADER_BYTES:].tobytes()
    bits = np.unpackbits(codes)
    if kind == _BIT_MASK:
        mask = bits[:size].astype(bool)
        stored = np.frombuffer(table[: int(mask.sum()) * dtype.itemsize], dtype)
        _require(len(stored) == mask.sum(), f"{len(stored)} values for {mask.sum()} bits")
        values = np.zeros(size, dtype)
        values[mask] = stored
    elif kind == _LOOKUP:
        values = _looked_up(bits, table, parameters, dtype, shape)
    elif kind == _HUFFMAN and dtype == np.int8:
        values = _huffman(bits, table, parameters[0], size)
    else:
        raise ValueError(f"an encoded constant of kind {kind} and type {dtype}")
    return values.reshape(shape)


def _looked_up(
    bits: np.ndarray, table: bytes, parameters: list[int], dtype: np.dtype, shape: tuple[int, ...]
) -> np.ndarray:
    axis, width, distance = parameters[0] >> 4, parameters[0] & 7, parameters[1]
    size = int(np.prod(shape, dtype=np.int64))
    _require(width > 0 and size * width <= len(bits), f"indices of {width} bits")
    values = np.frombuffer(table[: len(table) // dtype.itemsize * dtype.itemsize], dtype)
    indices = bits[: size * width].reshape(size, width) @ (1 << np.arange(width)[::-1])
    if axis != _ONE_TABLE:
        _require(axis < len(shape), f"tables along axis {axis}")
        channels = np.arange(shape[axis]).reshape([-1] + [1] * (len(shape) - 1 - axis))
        indices += distance * np.broadcast_to(channels, shape).ravel()
    _require(not size or int(indices.max()) < len(values), f"a table of {len(values)} values")
    return np.asarray(values[indices])


def _huffman(bits: np.ndarray, table: bytes, parameter: int, size: int) -> np.ndarray:
    entries = np.frombuffer(table[: len(table) // 2 * 2], np.uint16).tolist()
    _require(not parameter & 1, "Huffman tables of 32-bit entries")
    text = bits.tobytes().translate(bytes.maketrans(b"\0\1", b"01")).decode()
    first, place, found = (parameter >> 4) + 1, 0, bytearray()
    try:
        for _ in range(size):
            start, width = 0, first
            while True:
                at = start + int(text[place : place + width], 2)
                entry = entries[at]
                count = entry >> 11 & 15
                if entry & 0x8000:
                    break
                place, start, width = place + width, at + (entry & 0x7FF), count + 1
            place += count
            found.append(entry & 0xFF)
    except (IndexError, ValueError) as error:
        raise ValueError(f"Huffman codes that end early ({error})") from error
    return np.frombuffer(bytes(found), np.int8)


def _require(condition: object, otherwise: str) -> None:
    if not condition:
        raise ValueError(otherwise)
