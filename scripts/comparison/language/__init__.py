"""The language models of the comparison."""
