"""Weight sharing: every weight of a kernel is one of a few values."""
