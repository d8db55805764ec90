"""Where formats differ from Django's own: a day before its month, and twenty-four hours."""
