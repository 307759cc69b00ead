"""Which kernels a runtime will use for a file, without running it."""
