"""Channels that go a few at a time while a model is trained."""
