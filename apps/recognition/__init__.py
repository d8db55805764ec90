"""Recognition: crop in, decision out. No name leaves the gallery."""
