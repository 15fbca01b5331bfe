"""Raw files as rows to predict: read as `raytl shard` would have read them."""
