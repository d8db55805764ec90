"""What a month was like: worked out once, under the rules of statistical disclosure control."""
