"""What a person reviews: TensorBoard, the leaderboard on the terminal, the report."""
