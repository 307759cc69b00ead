"""The outputs of a converted file: their names, and tensors that every runtime can give out."""

import math

import keras
import numpy as np
from ai_edge_litert import schema_py_generated as schema

from tfprune.export.file.subgraph import OPERATORS, Subgraph
from tfprune.export.file.tables import Model, SignatureDef, TensorMap

SIGNATURE_KEY = "serving_default"  # the name that Keras's own export gives

# Operators that run other subgraphs: their outputs may change in size, so the runtime allocates
# them as it goes, and LiteRT.js has no place of its own to put them.
_CALLING = (OPERATORS.WHILE, OPERATORS.IF)


def output_names(model: keras.Model, paths: list[tuple[object, ...]]) -> list[str]:
    """The keys of the outputs, or Keras's own names, or their places.

    Args:
        model: The Keras model.
        paths: Where each output stands in the structure that the model gives.
    """
    names = list(getattr(model, "output_names", None) or ())
    keyed = any(isinstance(part, str) for path in paths for part in path)
    if keyed or len(names) != len(paths) or len(set(names)) != len(names):
        return [
            "_".join(map(str, path)) if keyed else f"output_{position}"
            for position, path in enumerate(paths)
        ]
    return names


def settle(model: Model) -> None:
    """Gives outputs that come out of a loop a tensor of their own, by a RESHAPE to their shape.

    Args:
        model: A converted model, changed in place.
    """
    main = Subgraph(model, model.subgraphs[0])
    producers = main.producers()
    for index in dict.fromkeys(main.outputs):
        producer = producers.get(index)
        if producer is None or main.code(producer) not in _CALLING or not _is_fixed(main, index):
            continue
        name = main.name(index)
        sizes = np.array(main.shape(index), np.int32)
        given = main.add_tensor(main.shape(index), main.tensor(index).type, name=name, like=index)
        shape = main.add_constant(sizes, name=f"{name}/shape")
        options = schema.ReshapeOptionsT()
        options.newShape = sizes
        main.operators.append(main.operator(OPERATORS.RESHAPE, [index, shape], [given], options))
        main.tensor(index).name = f"{name}/inside".encode()
        main.table.outputs = np.array(
            [given if old == index else old for old in main.outputs], np.int32
        )


def _is_fixed(subgraph: Subgraph, index: int) -> bool:
    """Whether a tensor's shape is known, and RESHAPE takes it."""
    signature = subgraph.tensor(index).shapeSignature
    free = signature is not None and -1 in signature
    return not free and math.prod(subgraph.shape(index)) > 0


def sign(model: Model, inputs: list[str], outputs: list[str]) -> None:
    """Gives a model a signature definition, which the converter writes for SavedModels only.

    Args:
        model: A converted model, changed in place.
        inputs: The names of its inputs.
        outputs: The names of its outputs.

    Raises:
        ValueError: If the conversion left inputs out.
    """
    main = model.subgraphs[0]
    if len(main.inputs) != len(inputs) or len(main.outputs) != len(outputs):
        raise ValueError(
            "`model` must use every one of its inputs. Received: a model with "
            f"{len(inputs)} inputs, of which the conversion kept {len(main.inputs)}."
        )
    definition: SignatureDef = schema.SignatureDefT()
    definition.signatureKey = SIGNATURE_KEY.encode()
    definition.subgraphIndex = 0
    definition.inputs = _tensor_maps(inputs, main.inputs)
    definition.outputs = _tensor_maps(outputs, main.outputs)
    model.signatureDefs = [definition]


def _tensor_maps(names: list[str], indices: np.ndarray) -> list[TensorMap]:
    maps: list[TensorMap] = []
    for name, index in zip(names, indices):
        entry: TensorMap = schema.TensorMapT()
        entry.name, entry.tensorIndex = name.encode(), int(index)
        maps.append(entry)
    return maps
