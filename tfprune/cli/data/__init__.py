"""Examples that the command line is given, and what a model makes of them."""
