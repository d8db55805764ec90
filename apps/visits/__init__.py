"""Visits of people who signed, footfall of everybody, the floor board."""
