"""What a plan decides by: scores of channels, budgets, and the latency of the exported file."""
