"""What every layer may use: arrays, checks, files, progress. Knows nothing of pruning."""
