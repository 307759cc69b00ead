"""Compact filters: convolutions of fewer numbers that do what larger ones did, nearly."""
