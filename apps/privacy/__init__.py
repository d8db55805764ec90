"""What a person, and the officer who answers them, can do with the person's data."""
