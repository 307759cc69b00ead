"""What each device can skip, and the structures that fit it."""
