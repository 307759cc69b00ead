"""What is coupled: labels of channels, carried through the graph of a model. Pure analysis."""
