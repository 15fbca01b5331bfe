"""What is kept of a run and its trials, for its own resumption and for later studies."""
