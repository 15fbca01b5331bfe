"""Backbones as ordered blocks, source models, mappers, heads and the transfer model."""
