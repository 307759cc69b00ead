"""What `tfprune.compress` keeps by all methods together, and by each of them alone."""
