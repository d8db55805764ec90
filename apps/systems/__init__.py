"""Other systems of a house: who they are, what each was told of whom, and that it hears the end."""
