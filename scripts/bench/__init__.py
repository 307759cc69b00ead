"""Time and memory, side by side with others."""
