"""Confirmation and what it says, with what certainty. Knows nothing of Ray."""
