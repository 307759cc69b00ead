"""Accuracy of integer files: after training and in training, of dense and of sparse networks."""
