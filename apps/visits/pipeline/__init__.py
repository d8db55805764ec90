"""From a camera's pixels to a count or a question, in memory.

Plain values and callables in and out: no Django, no key, no name, no file written. Nothing here
embeds a face; `lane` hands aligned crops to whoever may, `count` does not even make crops.
"""
