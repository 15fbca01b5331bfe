"""What a person wants to look at once a study is decided: what was transferred, rows that tell."""
