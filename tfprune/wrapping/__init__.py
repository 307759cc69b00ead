"""The wrapper that holds the masks, and one update of them."""
