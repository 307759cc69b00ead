"""compress: one search over what every method can do to each weight, down to a budget."""
