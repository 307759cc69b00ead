"""The loops of recurrent layers, with less to do in each step.

A converted layer takes one step's inputs out of all of them, multiplies them by the input kernel,
and writes the outputs of all steps anew in each step. Two changes, which compute the same:

- the inputs of all steps are multiplied before the loop, in one product, which goes faster over
  many rows than over one;
- a step writes its outputs into those of all steps (DYNAMIC_UPDATE_SLICE), which takes no copy.
"""

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from tfprune.export.file import flatbuffer
from tfprune.export.file.subgraph import OPERATORS, TYPES, Subgraph, subgraphs
from tfprune.export.file.tables import Model, Operator
from tfprune.export.rewrites import tensors

_KEEPS_AXES_VERSION = 5  # of FULLY_CONNECTED
_NONE = schema.ActivationFunctionType.NONE


def apply(model: Model) -> tuple[Model, tuple[str, ...]]:
    """Change the loops of the main subgraph.

    Args:
        model: A model with dense weights, which stays as it is.

    Returns:
        The new model and a sentence for each change; without one, the model itself.
    """
    if not any(_is_loop(model, operator) for operator in model.subgraphs[0].operators or ()):
        return model, ()
    changed = flatbuffer.copied(model)
    outer, *others = subgraphs(changed)
    products = writes = 0
    for loop in [each for each in outer.operators if _is_loop(changed, each)]:
        options = loop.builtinOptions
        body = others[options.bodySubgraphIndex - 1]
        condition = others[options.condSubgraphIndex - 1]
        products += _multiply_before(outer, loop, condition, body)
        writes += _write_in_place(body)
    said = []
    if products:
        said.append(f"Products of all steps' inputs that are taken out of their loop: {products}.")
    if writes:
        said.append(f"Outputs of loops that each step writes in place: {writes}.")
    return (changed, tuple(said)) if said else (model, ())


def _is_loop(model: Model, operator: Operator) -> bool:
    return bool(flatbuffer.builtin_code(model, operator) == OPERATORS.WHILE)


def _multiply_before(outer: Subgraph, loop: Operator, condition: Subgraph, body: Subgraph) -> int:
    """Take products of what a step gathers out of the loop; return how many."""
    found = 0
    for place, index in enumerate(body.inputs):
        product = _product(outer, loop, condition, body, place)
        if product is None:
            continue
        gather, dense = product
        weight = int(dense.inputs[1])
        source, result = int(loop.inputs[place]), int(loop.outputs[place])
        sizes = (*outer.shape(source)[:2], body.shape(weight)[0])
        inputs = [source, _moved(body, outer, weight)]
        bias = int(dense.inputs[2]) if len(dense.inputs) > 2 else -1
        inputs.append(-1 if bias < 0 else _moved(body, outer, bias))
        made = tensors.like(outer, source, sizes, "product")
        options = schema.FullyConnectedOptionsT()
        options.keepNumDims = True
        options.fusedActivationFunction = _NONE
        operator = outer.operator(
            OPERATORS.FULLY_CONNECTED, inputs, [made], options, version=_KEEPS_AXES_VERSION
        )
        outer.operators.insert(outer.operators.index(loop), operator)
        loop.inputs[place] = made
        for subgraph, tensor in (
            (outer, result),
            (body, index),
            (condition, condition.inputs[place]),
        ):
            subgraph.tensor(tensor).shape = np.array(sizes, np.int32)
            subgraph.tensor(tensor).shapeSignature = outer.tensor(made).shapeSignature
        gather.outputs = dense.outputs
        body.operators.remove(dense)
        found += 1
    return found


def _product(
    outer: Subgraph, loop: Operator, condition: Subgraph, body: Subgraph, place: int
) -> tuple[Operator, Operator] | None:
    """The GATHER of a step's inputs and the only FULLY_CONNECTED that reads them."""
    index, source = body.inputs[place], int(loop.inputs[place])
    readers = body.readers()
    alone = body.outputs[place] == index and condition.inputs[place] not in condition.readers()
    result = int(loop.outputs[place])
    unread = result not in outer.readers() and result not in outer.outputs
    signature = outer.tensor(source).shapeSignature
    fixed = signature is None or -1 not in list(signature)[1:]
    if not (alone and unread and fixed) or len(outer.shape(source)) != 3:
        return None
    gather = _only(readers.get(index, []))
    if gather is None or body.code(gather) != OPERATORS.GATHER or gather.inputs[0] != index:
        return None
    options = gather.builtinOptions
    if options.axis != 0 or options.batchDims or body.shape(gather.inputs[1]) != ():
        return None
    dense = _only(readers.get(int(gather.outputs[0]), []))
    if dense is None or body.code(dense) != OPERATORS.FULLY_CONNECTED:
        return None
    constants = [int(i) for i in dense.inputs[1:] if i >= 0]
    known = [body.constant(i) for i in constants]
    others = [each for each in body.operators if each is not dense]
    kept = {*body.outputs, *(int(i) for each in others for i in each.inputs)}
    if any(each is None or each.dtype != np.float32 for each in known) or kept & set(constants):
        return None
    return (gather, dense) if dense.builtinOptions.fusedActivationFunction == _NONE else None


def _moved(body: Subgraph, outer: Subgraph, index: int) -> int:
    """A constant of the loop as one of the main subgraph."""
    old = body.tensor(index)
    made = outer.add_tensor(body.shape(index), TYPES.FLOAT32, name=body.name(index))
    outer.tensor(made).buffer, old.buffer = old.buffer, 0
    return made


def _write_in_place(body: Subgraph) -> int:
    """Let steps write into the outputs of all steps; return how many outputs."""
    producers, found = body.producers(), 0
    for index, output in zip(body.inputs, body.outputs):
        joined = producers.get(output)
        parts = None if joined is None else _parts(body, producers, joined, index)
        if joined is None or parts is None:
            continue
        value, counter = parts
        name = body.name(output)
        rank = len(body.shape(output))
        zeros = body.add_constant(np.zeros(rank - 1, np.int32), name=f"{name}/zeros")
        begin = body.add_tensor((rank,), TYPES.INT32, name=f"{name}/begin")
        options = schema.ConcatenationOptionsT()
        options.axis = 0
        options.fusedActivationFunction = _NONE
        place = body.operators.index(joined)
        body.operators[place : place + 1] = [
            body.operator(OPERATORS.CONCATENATION, [counter, zeros], [begin], options),
            body.operator(OPERATORS.DYNAMIC_UPDATE_SLICE, [index, value, begin], [output]),
        ]
        found += 1
        _drop_unread(body)
    return found


def _parts(
    body: Subgraph, producers: dict[int, Operator], joined: Operator, whole: int
) -> tuple[int, int] | None:
    """What a step writes, and its place: of outputs before it, its own and those after it.

    None unless the operator joins exactly these.
    """
    if body.code(joined) != OPERATORS.CONCATENATION or len(joined.inputs) != 3:
        return None
    if joined.builtinOptions.axis != 0 or body.shape(int(joined.inputs[1]))[:1] != (1,):
        return None
    before, after = (producers.get(int(joined.inputs[place])) for place in (0, 2))
    for part in (before, after):
        if part is None or body.code(part) != OPERATORS.SLICE or int(part.inputs[0]) != whole:
            return None
    assert before is not None and after is not None
    begin, size = (body.constant(int(i)) for i in (before.inputs[1], after.inputs[2]))
    if begin is None or begin.any() or size is None or np.any(size != -1):
        return None
    counter = _first(body, producers, int(before.inputs[2]), -1)
    following = _first(body, producers, int(after.inputs[1]), 0)
    if counter is None or following is None:
        return None
    added = producers.get(following[0])
    if added is None or body.code(added) != OPERATORS.ADD or counter[0] not in added.inputs:
        return None
    ones = [body.constant(int(i)) for i in added.inputs if int(i) != counter[0]]
    if len(ones) != 1 or ones[0] is None or ones[0].size != 1 or int(ones[0].ravel()[0]) != 1:
        return None
    return int(joined.inputs[1]), counter[1]


def _first(
    body: Subgraph, producers: dict[int, Operator], index: int, rest: int
) -> tuple[int, int] | None:
    """The number before a constant in a vector, as a scalar and as a vector of one."""
    joined = producers.get(index)
    if joined is None or body.code(joined) != OPERATORS.CONCATENATION or len(joined.inputs) != 2:
        return None
    values = body.constant(int(joined.inputs[1]))
    reshaped = producers.get(int(joined.inputs[0]))
    if values is None or np.any(values != rest) or reshaped is None:
        return None
    if body.code(reshaped) != OPERATORS.RESHAPE:
        return None
    return int(reshaped.inputs[0]), int(joined.inputs[0])


def _drop_unread(body: Subgraph) -> None:
    """Drop the operators that nothing reads."""
    while True:
        read = {*body.readers(), *body.outputs}
        left = [each for each in body.operators if read & set(map(int, each.outputs))]
        if len(left) == len(body.operators):
            return
        body.table.operators = left


def _only(operators: list[Operator]) -> Operator | None:
    return operators[0] if len(operators) == 1 else None
