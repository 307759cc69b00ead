"""Other ways to make a model smaller, one method a file."""
