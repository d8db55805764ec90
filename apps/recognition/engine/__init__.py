"""The engine: pixels in, faces and unit vectors out.

It knows no Django, no database, no key and no name; it opens no network connection
and never writes an image.
"""
