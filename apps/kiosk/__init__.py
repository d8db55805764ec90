"""The tablet: an opt-in from the first sentence to the receipt."""
