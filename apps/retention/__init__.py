"""Retention: what is due, what erases it, and the certificate that proves it."""
