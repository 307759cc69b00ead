"""Facts about Keras layer classes: prunable weights, their axes, their inputs, their products."""
