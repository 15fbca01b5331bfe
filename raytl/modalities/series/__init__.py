"""Series: rows of steps in time, each with a number a channel."""
