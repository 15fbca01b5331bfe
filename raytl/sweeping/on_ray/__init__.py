"""All that touches Ray: how trials are started, run, stopped and started again."""
