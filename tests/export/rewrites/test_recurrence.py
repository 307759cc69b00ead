"""Loops of recurrent layers with less to do in each step."""

import keras
import pytest
from keras import layers

from tests.support.export.rewrite_cases import EXACT, Rewritten, largest_difference, randomize
from tfprune.export.convert import converter
from tfprune.export.file import flatbuffer, signature
from tfprune.export.file.subgraph import OPERATORS, subgraphs
from tfprune.export.rewrites import recurrence


def rewritten(model):
    dense = converter.convert(model, signature.signature_of(randomize(model)))
    changed, said = recurrence.apply(dense.model)
    return Rewritten(dense.content, flatbuffer.pack(changed), said)


def over(*stack, steps=6):
    return keras.Sequential([keras.Input((steps, 8)), *stack])


def in_loops(content, code):
    _, *others = subgraphs(flatbuffer.parse(content, "loops"))
    return sum(each.code(operator) == code for each in others for operator in each.operators)


@pytest.mark.parametrize(
    ("stack", "loops"),
    [
        ([layers.LSTM(5, return_sequences=True), layers.LSTM(4)], 2),
        ([layers.GRU(5, return_sequences=True)], 1),
        ([layers.SimpleRNN(5)], 1),
        ([layers.Bidirectional(layers.LSTM(5, return_sequences=True))], 2),
        ([layers.GRU(5, reset_after=False)], 1),
    ],
    ids=["lstm", "gru", "simple", "both_ways", "reset_before"],
)
def test_inputs_of_all_steps_are_multiplied_before_the_loop(stack, loops):
    found = rewritten(over(*stack))
    assert largest_difference(found) < EXACT
    before, after = (
        in_loops(content, OPERATORS.FULLY_CONNECTED) for content in (found.before, found.after)
    )
    assert before - after == loops
    assert found.said[0].endswith(f": {loops}.")


def test_outputs_of_all_steps_are_written_in_place():
    found = rewritten(over(layers.LSTM(5, return_sequences=True)))
    assert in_loops(found.before, OPERATORS.SLICE) == 2
    assert in_loops(found.after, OPERATORS.SLICE) == 0
    assert in_loops(found.after, OPERATORS.DYNAMIC_UPDATE_SLICE) == 1
    assert largest_difference(found) < EXACT


def test_a_sequence_of_free_length_stays_free():
    found = rewritten(over(layers.LSTM(5, return_sequences=True), steps=None))
    assert len(found.said) == 2
    graph = found.graph
    assert -1 in graph.tensor(graph.inputs[0]).shapeSignature


def test_models_without_loops_stay_the_same_object():
    dense = converter.convert(model := over(layers.Dense(3)), signature.signature_of(model))
    assert recurrence.apply(dense.model) == (dense.model, ())


def test_a_kernel_that_the_loop_needs_elsewhere_stays_in_it():
    class Tied(layers.Layer):
        """Multiplies its state and its inputs by the same weight."""

        state_size = output_size = 8

        def build(self, shape):
            self.kernel = self.add_weight(shape=(8, 8))

        def call(self, inputs, states):
            total = keras.ops.matmul(inputs, self.kernel) + keras.ops.matmul(states[0], self.kernel)
            return total, [keras.ops.tanh(total)]

    found = rewritten(over(layers.RNN(Tied(), return_sequences=True)))
    assert largest_difference(found) < EXACT
    assert in_loops(found.after, OPERATORS.FULLY_CONNECTED) >= 1
