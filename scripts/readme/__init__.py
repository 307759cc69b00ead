"""The tables in the READMEs, from the results files."""
