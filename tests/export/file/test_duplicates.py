"""A copied model is one of its own, but for the bytes of constants."""

import copy

import numpy as np

from tests.support.export.tflite_files import linear
from tfprune.export.file import flatbuffer
from tfprune.export.file.duplicates import duplicate
from tfprune.export.file.subgraph import subgraphs


def test_a_copy_is_written_as_the_same_file_and_edited_alone():
    model = linear(np.arange(12, dtype=np.float32).reshape(3, 4))
    content = flatbuffer.pack(model)
    copied = flatbuffer.copied(model)
    assert flatbuffer.pack(copied) == flatbuffer.pack(copy.deepcopy(model)) == content
    (graph,) = subgraphs(copied)
    graph.operators[0].inputs[0] = 2
    graph.tensor(0).shape[0] = 7
    graph.operators[0].builtinOptions.keepNumDims = True
    graph.operators.clear()
    assert flatbuffer.pack(model) == content


def test_the_bytes_of_constants_are_shared():
    model = linear(np.ones((2, 3), np.float32))
    for old, new in zip(model.buffers, flatbuffer.copied(model).buffers, strict=True):
        assert new is not old and new.data is old.data


def test_what_two_tables_hold_together_their_copies_do():
    model = linear(np.ones((2, 3), np.float32))
    first, second = model.subgraphs[0].tensors[:2]
    second.shape = first.shape
    tensors = duplicate(model, {}).subgraphs[0].tensors
    assert tensors[0].shape is tensors[1].shape is not first.shape
