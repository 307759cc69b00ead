"""Weight sharing without training: accuracy by number of values and way to choose them."""
