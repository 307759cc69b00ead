"""What scores cost: gradients, the inverse Fisher, layer-wise reconstruction."""
