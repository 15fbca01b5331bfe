"""Datasets as Arrow shards, and the feeds of batches that read them."""
