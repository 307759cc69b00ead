"""Low-rank factors of an image classifier and of a language model, measured."""
