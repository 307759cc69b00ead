"""What tests of scorers share."""
