"""A model's layers, calls and couplings; rebuilding a model with other layers."""
