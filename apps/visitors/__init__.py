"""Visitors and their sealed templates. Nothing here can open a template; the recognizer can."""
