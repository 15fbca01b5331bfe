"""A study on Ray Tune: controls, search, confirmation."""
