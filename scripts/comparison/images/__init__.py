"""The image classifiers of the comparison."""
