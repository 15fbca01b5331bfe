"""Modalities: what an input column can be. A wing each, alike inside: the column, its transform,
its networks. `registry` lists them; this package itself loads no torch."""
