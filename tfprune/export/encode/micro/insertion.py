"""Putting TFLM_DECODE before each constant that takes less flash encoded.

An operator's weight is expanded right before it runs, and again before each other operator that
reads it: firmware may give the decoder a memory of its own, which holds one operator's weights at a
time. So every reader costs one more operator and tensor in the file, which count in the choice.
"""

from collections import Counter
from collections.abc import Iterator, Sequence

import numpy as np

from tfprune.export.encode.micro.codewords import counts_of, huffman
from tfprune.export.encode.micro.encoded_constant import NAMES, Coded, aligned
from tfprune.export.encode.micro.masks import bit_mask
from tfprune.export.encode.micro.tables import lookup
from tfprune.export.encode.sparse import EncodedTensor
from tfprune.export.file import flatbuffer
from tfprune.export.file.constants import Weight, constant_weights
from tfprune.export.file.micro_decoding import DECODE
from tfprune.export.file.subgraph import TYPES, Subgraph, subgraphs
from tfprune.export.file.tables import Model, Operator, Quantization

# What a second tensor, and an operator with the tensor that it writes, take in a file, rounded up
# (tests check it).
TENSOR_BYTES = 160
STEP_BYTES = 240


def encode_model(model: Model) -> tuple[Model, tuple[EncodedTensor, ...]]:
    """Encodes each constant that becomes smaller by it, and leaves out what firmware never reads.

    Args:
        model: A parsed dense model, which stays as it is.

    Returns:
        The new model, and one entry per encoded constant. Names of tensors that are no constants,
        inputs or outputs are empty; metadata and signatures are gone.
    """
    model = flatbuffer.copied(model)
    model.metadata, model.signatureDefs = [], []
    weights = [each for each in constant_weights(model) if not each.is_bias and _decodes(each)]
    found = sharing(weights, [smallest(weight) for weight in weights])
    entries = []
    stored: dict[bytes, int] = {}  # ancillary tensor -> its buffer
    for weight, coded in zip(weights, found, strict=True):
        if coded is not None:
            entries.append(_entry(weight, coded, alone=coded.ancillary.tobytes() not in stored))
            _store(model, weight, coded, stored)
    _drop_names(model)
    return model, tuple(entries)


def smallest(weight: Weight) -> Coded | None:
    """The encoding in which a weight takes the fewest bytes; None where dense is smaller."""
    best = min(_encodings(weight), key=lambda found: found.nbytes)
    return best if best.nbytes + _around(weight) < weight.values.nbytes else None


def sharing(weights: Sequence[Weight], alone: Sequence[Coded | None]) -> list[Coded | None]:
    """Lets weights share Huffman codes, and so one table, where they take fewer bytes by that.

    Weights leave the circle one after another as long as some take fewer bytes on their own, and
    the others' codes are found anew; what is left shares if that also pays for the table.

    Args:
        weights: The weights.
        alone: The smallest encoding of each on its own; None where dense is smaller.

    Returns:
        The encoding of each.
    """
    own = [
        weight.values.nbytes if coded is None else coded.nbytes + _around(weight)
        for weight, coded in zip(weights, alone, strict=True)
    ]
    circle = [place for place, each in enumerate(weights) if each.values.dtype == np.int8]
    while len(circle) > 1:
        counts = sum((counts_of(weights[place].values) for place in circle), Counter())
        joint = {place: huffman(weights[place].values, counts) for place in circle}
        costs = {
            place: aligned(each.codes) + _around(weights[place]) for place, each in joint.items()
        }
        stay = [place for place in circle if costs[place] < own[place]]
        if stay == circle:
            table = aligned(joint[circle[0]].ancillary)
            pays = table + sum(costs.values()) < sum(own[place] for place in circle)
            return [joint.get(n, each) for n, each in enumerate(alone)] if pays else [*alone]
        circle = stay
    return [*alone]


def _around(weight: Weight) -> int:
    """Bytes of the tensors and operators that a weight needs once it is encoded."""
    return len(weight.uses) * TENSOR_BYTES + len(weight.readers) * STEP_BYTES


def _encodings(weight: Weight) -> Iterator[Coded]:
    yield bit_mask(weight.values)
    if weight.values.dtype == np.int8:
        yield huffman(weight.values)
    axes: list[int | None] = [None]
    scales = [_scales(each) for each in _quantizations(weight)]
    if all(scales) and len({each.quantizedDimension for each in _quantizations(weight)}) == 1:
        axes.append(_quantizations(weight)[0].quantizedDimension)
    for axis in axes:
        found = lookup(weight.values, axis=axis)
        if found is not None:
            yield found


def _quantizations(weight: Weight) -> list[Quantization]:
    """The quantization of each tensor over a weight that has any."""
    tensors = [use.subgraph.tensor(use.index) for use in weight.uses]
    return [each.quantization for each in tensors if each.quantization is not None]


def _scales(quantization: Quantization) -> bool:
    """Whether each channel has a scale of its own."""
    return quantization.scale is not None and len(quantization.scale) > 1


def _decodes(weight: Weight) -> bool:
    """Whether the decoder takes it: not empty, scales along an end axis, zero points of 0."""
    if not weight.values.size:
        return False
    for each in _quantizations(weight):
        last = weight.values.ndim - 1
        allowed = (0, last) if _scales(each) else (0,)
        if each.quantizedDimension not in allowed:
            return False
        if each.zeroPoint is not None and np.any(each.zeroPoint):
            return False
    return True


def _store(model: Model, weight: Weight, found: Coded, stored: dict[bytes, int]) -> None:
    """Puts the codes in the place of the values, with a decoder before each reader.

    Equal ancillary tensors have one buffer, of those in `stored`, which gets new ones.
    """
    codes = flatbuffer.add_buffer(model, found.codes)
    header = found.ancillary.tobytes()
    if header not in stored:
        stored[header] = flatbuffer.add_buffer(model, found.ancillary)
    for use in weight.uses:
        subgraph, tensor = use.subgraph, use.subgraph.tensor(use.index)
        shape, kind = subgraph.shape(use.index), tensor.type
        second = subgraph.add_tensor(found.ancillary.shape, TYPES.UINT8, name="")
        subgraph.tensor(second).buffer = stored[header]
        for reader in use.readers:
            wide = subgraph.add_tensor(shape, kind, name="", like=use.index)
            subgraph.replace_input(reader, use.index, wide)
            made = subgraph.custom_operator(DECODE, [use.index, second], [wide])
            _insert_before(subgraph, reader, made)
        tensor.shape = np.array(found.codes.shape, np.int32)
        tensor.shapeSignature, tensor.quantization = None, None
        tensor.type, tensor.buffer = TYPES.UINT8, codes
    model.buffers[weight.buffer].data = None


def _insert_before(subgraph: Subgraph, reader: Operator, made: Operator) -> None:
    place = next(i for i, operator in enumerate(subgraph.operators) if operator is reader)
    subgraph.operators.insert(place, made)


def _entry(weight: Weight, found: Coded, *, alone: bool) -> EncodedTensor:
    """What became of a weight; a table that several read counts where it comes first."""
    nonzeros = int(np.count_nonzero(weight.values))
    return EncodedTensor(
        name=weight.name,
        shape=weight.values.shape,
        sparsity=1 - nonzeros / weight.values.size,
        nonzeros=nonzeros,
        encoding=NAMES[found.kind],
        dtype=weight.values.dtype.name,
        dense_bytes=weight.values.nbytes,
        encoded_bytes=found.nbytes if alone else aligned(found.codes),
    )


def _drop_names(model: Model) -> None:
    for subgraph in subgraphs(model):
        kept = {*subgraph.inputs, *subgraph.outputs}
        for index, tensor in enumerate(subgraph.table.tensors):
            data = model.buffers[tensor.buffer].data
            if index not in kept and (data is None or not len(data)):
                tensor.name = None
