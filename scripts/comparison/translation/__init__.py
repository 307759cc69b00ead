"""The translation models of the comparison."""
