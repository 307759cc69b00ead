"""Each operator that reads a weight, with each form of it: every runtime computes the same."""

import dataclasses

import numpy as np
import pytest

from tests.support.export.weight_readers import READERS, chained, inputs_of_file, stored
from tfprune.export.encode import layouts, narrowing, plans, sparse
from tfprune.export.file import flatbuffer
from tfprune.export.file.constants import constant_weights
from tfprune.export.file.subgraph import TYPES
from tfprune.export.predict import delegation
from tfprune.export.run import child, runtime, wasm
from tfprune.targets.target import TARGETS

SAME = 1e-5
ROUNDED = {None: SAME, "float16": 2e-3, "int8_weights": 3e-2}


def run(path, inputs, kernels):
    (found,) = child.run(child.load(str(path), kernels=kernels), inputs)
    return found


TIMES = 4


def difference(found, wanted):
    return float(np.max(np.abs(found - wanted)) / np.max(np.abs(wanted)))


def write(folder, model):
    path = folder / "model.tflite"
    path.write_bytes(flatbuffer.pack(model))
    return path


@pytest.mark.parametrize("target", ["x86", "size"])
@pytest.mark.parametrize("quantize", ROUNDED)
@pytest.mark.parametrize("reader", READERS)
def test_xnnpack_computes_what_plain_kernels_do(reader, quantize, target, tmp_path):
    dense = READERS[reader]()
    inputs = inputs_of_file(dense)
    wanted = run(write(tmp_path, dense), inputs, child.OWN_KERNELS)
    encoded, entries = sparse.encode_model(
        dense,
        target=TARGETS[target],
        quantize=quantize,
        delegated=delegation.delegated(dense),
    )
    assert any(entry.encoding != "dense" for entry in entries)
    path = write(tmp_path, encoded)
    plain = run(path, inputs, child.OWN_KERNELS)
    assert difference(plain, wanted) < ROUNDED[quantize]
    assert difference(run(path, inputs, child.XNNPACK), plain) < SAME
    if wasm.is_installed() and target == "size":
        (in_wasm,) = wasm.outputs(path, inputs)
        assert difference(in_wasm, plain) < SAME


def test_what_is_never_written_is_wrong_indeed(tmp_path):
    """If this fails, the runtime was mended, and a rule of `plans` may go."""
    names = [name for name in READERS if "tanh" in name or "GATHER" in name] + ["CONV_3D"]
    models = [chained(name) for name in names]
    runs = []
    # XNNPACK first, when nothing right was in memory before; several times, since what is there
    # instead is a matter of chance.
    for kernels in (*[runtime.KERNELS[0]] * TIMES, runtime.KERNELS[1]):
        for number, model in enumerate(models):
            path = tmp_path / f"{number}.tflite"
            path.write_bytes(flatbuffer.pack(model))
            runs.append(runtime.Run(path, inputs_of_file(model), kernels=(kernels,)))
    outputs = [arrays[0] for found in runtime.outputs_of(runs) for arrays in found.values()]
    count = len(names)
    for number, name in enumerate(names):
        plain = outputs[TIMES * count + number]
        with np.errstate(invalid="ignore", over="ignore"):
            worst = [difference(outputs[t * count + number], plain) for t in range(TIMES)]
        assert not max(worst) < 0.1 or np.isnan(worst).any(), name


@pytest.mark.parametrize("reader", READERS)
def test_two_steps_are_written_only_where_xnnpack_takes_the_reader(reader):
    model = READERS[reader]()
    taken = delegation.delegated(model)
    for delegated in (taken, frozenset()):
        encoded, _ = sparse.encode_model(model, quantize="float16", delegated=delegated)
        kinds = {t.type for t in encoded.subgraphs[0].tensors if t.sparsity is not None}
        if "GATHER" == reader or delegated and "," not in reader and len(taken) == 1:
            assert kinds == {TYPES.FLOAT16}
        else:
            assert kinds == {TYPES.FLOAT32}


def test_rows_of_a_table_are_widened_after_they_are_taken():
    for quantize, kind in (("float16", TYPES.FLOAT16), ("int8_weights", TYPES.INT8)):
        encoded, _ = sparse.encode_model(READERS["GATHER"](), quantize=quantize)
        main = encoded.subgraphs[0]
        wide = [t for t in main.tensors if t.type == TYPES.FLOAT32 and tuple(t.shape) == (512, 32)]
        assert wide == [] and main.tensors[main.operators[1].outputs[0]].type == kind


def test_a_plan_is_the_smallest_of_all_that_can_be_read():
    model = READERS["CONV_3D"]()
    (weight,) = [weight for weight in constant_weights(model) if not weight.is_bias]
    options = {"target": TARGETS["size"], "densify": True, "delegated": set()}
    chosen = plans.plan(weight, quantize="int8_weights", **options)
    # 10 % of the values in four bytes, with an index each, against all of them in one byte.
    assert chosen.encoding == "densify rows" and chosen.narrowed.kind is None
    full = dataclasses.replace(weight, values=np.ones_like(weight.values))
    assert plans.plan(full, quantize="int8_weights", **options).narrowed.kind == TYPES.INT8


@pytest.mark.parametrize("quantize", ROUNDED)
@pytest.mark.parametrize("reader", READERS)
def test_no_form_costs_more_than_is_counted(reader, quantize):
    rng = np.random.default_rng(0)
    for _ in range(6):  # what lies before a vector decides how far it is moved to its boundary
        dense = READERS[reader]()
        for tensor in dense.subgraphs[0].tensors:
            tensor.name = b"a" * int(rng.integers(40))
        (weight,) = [weight for weight in constant_weights(dense) if not weight.is_bias]
        narrowed = narrowing.narrow(weight, quantize)
        after = weight.is_table and quantize is not None
        for encoded in (None, layouts.smallest(narrowed.values)):
            if narrowed.kind is not None or encoded is not None:
                made = plans.Plan(narrowed, encoded, widened_after=after)
                packed = flatbuffer.pack(
                    stored(flatbuffer.copied(dense), lambda _, made=made: made)
                )
                found = len(packed) - len(flatbuffer.pack(dense))
                counted = made.cost(weight) - weight.values.nbytes
                assert counted - 350 < found <= counted
