"""What a training step of the LSTM language models takes."""
