"""Scores: of source models before any training, and of trained models without target labels."""
