"""What stands before networks in exported programs, one file a kind of row."""
