"""One trial in a plain Python process: the loop, evaluation, checkpoints."""
