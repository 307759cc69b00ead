"""Deep Compression from end to end: pruned, clustered, entropy-coded, in files that run."""
