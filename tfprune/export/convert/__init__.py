"""From a Keras model to a dense .tflite file."""
