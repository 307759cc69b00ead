"""A model, what its layers see, and the same by hand."""

import keras
import numpy as np

from tfprune.calibration.input_moments import layer_inputs
from tfprune.layer_classes.prunable import prunable_weights


def model_of(*stack, shape, dtype="float32"):
    return keras.Sequential([keras.Input(shape, dtype=dtype), *stack])


def watch(model, *batches):
    weights = {weight.path: weight for weight in prunable_weights(model)}
    return layer_inputs(model, weights, batches)


def only(found):
    (inputs,) = found.values()
    return inputs


def gram(inputs, weight):
    """Return W^T M W of each group, the second moments of the outputs X W."""
    matrix = inputs.to_matrix(np.array(weight)).astype(np.float64)
    return matrix.transpose(0, 2, 1) @ inputs.moments @ matrix


def gram_of_outputs(outputs, groups):
    """Return Y^T Y of each group of equal shares of the last axis."""
    y = np.array(outputs, np.float64).reshape(-1, groups, outputs.shape[-1] // groups)
    return np.einsum("rgi,rgj->gij", y, y)


def explicit(rows):
    rows = np.asarray(rows, np.float64).reshape(-1, rows.shape[-1])
    return rows.T @ rows
