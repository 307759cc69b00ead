"""Data sets, from files at hand or by download."""
