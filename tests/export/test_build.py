"""What the exporter does to the converter's file, and what it leaves."""

import keras
import numpy as np
import pytest
from keras import layers

from tests.support.export.lint_models import body, dense_file, head, image, parsed, pruned
from tfprune.export.builder import build
from tfprune.export.file import flatbuffer
from tfprune.export.file.subgraph import OPERATORS, subgraphs
from tfprune.export.run import wasm
from tfprune.targets.target import MACHINES, TARGETS


def pooled(x):
    return layers.Conv2D(32, 1)(layers.MaxPooling2D(2)(x))


def convolved(x):
    return layers.Conv2D(32, 1)(layers.Conv2D(8, 3, padding="same")(x))


def wide_depthwise(x):
    return layers.Conv2D(32, 1)(layers.DepthwiseConv2D(7, padding="same")(x))


def codes(content):
    graph = subgraphs(parsed(content))[0]
    return [graph.code(operator) for operator in graph.operators]


@pytest.mark.parametrize("target", [*MACHINES, "auto", "size"])
@pytest.mark.parametrize("middle", [pooled, convolved, wide_depthwise])
def test_a_graph_that_xnnpack_misreads_gets_no_densify(middle, target):
    inputs = image()
    content = dense_file(pruned(inputs, head(middle(body(inputs)))))
    built = build(content, target=TARGETS[target])
    assert OPERATORS.DENSIFY not in codes(built.content)
    assert built.coverage.sparse_convolutions == 0 and built.coverage.defects == ()
    assert any("DENSIFY" in note and "channels-first" in note for note in built.notes)


@pytest.mark.skipif(not wasm.is_installed(), reason="needs Node and LiteRT.js")
@pytest.mark.parametrize("middle", [pooled, convolved, wide_depthwise])
def test_such_a_graph_predicts_the_same_in_webassembly(middle, tmp_path):
    inputs = image()
    model = pruned(inputs, head(middle(body(inputs))))
    path = tmp_path / "model.tflite"
    path.write_bytes(build(dense_file(model), target=TARGETS["wasm"]).content)
    images = np.random.default_rng(0).standard_normal((1, 16, 16, 3)).astype(np.float32)
    (found,) = wasm.outputs(path, [images])
    np.testing.assert_allclose(found, model(images), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("target", ["x86", "size"])
def test_loops_have_as_little_to_do_without_zeros_as_with_them(target):
    model = keras.Sequential([keras.Input((6, 8)), layers.LSTM(32, return_sequences=True)])
    files = [dense_file(model)]
    model.set_weights([np.where(w > 0.1, w, 0) for w in model.get_weights()])
    files.append(dense_file(model))
    dense, sparse = (build(file, target=TARGETS[target]) for file in files)
    assert not dense.encodings and sparse.encodings
    assert dense.rewrites == sparse.rewrites and bool(dense.rewrites) == (target == "x86")
    assert (dense.content == files[0].content) == (target == "size")


def test_the_graph_is_rewritten_only_where_convolutions_run_sparsely_by_it():
    inputs = image()
    content = dense_file(pruned(inputs, head(body(inputs, symmetric=False))))
    built = build(content, target=TARGETS["wasm"])
    assert built.coverage.sparse_convolutions == 2 and built.rewrites
    assert OPERATORS.REVERSE_V2 in codes(built.content)
    for target in ("x86", "size"):
        assert OPERATORS.REVERSE_V2 not in codes(build(content, target=TARGETS[target]).content)
    barely = build(dense_file(pruned(inputs, head(body(inputs, symmetric=False)), 0.6)))
    assert OPERATORS.REVERSE_V2 not in codes(barely.content)
    assert barely.rewrites == () and "nothing would be faster" in barely.notes[0]


def test_a_model_without_convolutions_is_not_talked_about():
    model = keras.Sequential([keras.Input((64,)), layers.Dense(64)])
    built = build(dense_file(model))
    assert built.notes == () and built.rewrites == ()


def test_not_sparse_means_untouched():
    inputs = image()
    content = dense_file(pruned(inputs, head(body(inputs))))
    built = build(content, sparse=False)
    assert built.content == content.content and built.encodings == ()


@pytest.mark.parametrize("quantize", ["float16", "int8_weights"])
def test_constants_of_one_operator_have_one_width(quantize):
    inputs = image()
    wide = layers.Conv2D(256, 1)(body(inputs))  # small weights would gain nothing by DENSIFY
    built = build(dense_file(pruned(inputs, head(wide))), target=TARGETS["wasm"], quantize=quantize)
    stored = parsed(built.content)
    kinds = [flatbuffer.TYPE_NAMES[t.type] for t in stored.subgraphs[0].tensors]
    assert ("float16" in kinds) == (quantize == "float16")
    assert built.coverage.defects == () and built.coverage.sparse_convolutions == 3
