"""Data -> evidence: what scorers may ask about the loss and the inputs of layers."""
