"""A QR code as an inline drawing."""

import segno


def drawn(text: str, *, error: str) -> str:
    """Return an SVG of the code, dark on nothing. error: level of correction, "l" to "h"."""
    code = segno.make_qr(text, error=error)
    return str(code.svg_inline(scale=6, dark="#1B1F23", omitsize=True))
