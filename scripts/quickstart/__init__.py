"""Train, prune, export, compare: the first minute."""
