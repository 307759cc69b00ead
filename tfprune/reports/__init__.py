"""What pruning did, as numbers, tables, pages and plots."""
