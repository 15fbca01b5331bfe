"""What is trained next, in an order that the study fixes. Knows nothing of Ray."""
