"""How much, where and in what shape: pure functions of arrays."""
