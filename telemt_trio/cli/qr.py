"""QR codes for terminals."""

import io
import sys

__all__ = ["terminal_qr"]


def terminal_qr(text: str) -> str:
    """``text`` as a QR code of half blocks, or of coloured blanks where the terminal's encoding has no blocks."""
    import segno

    code = segno.make(text, error="l", micro=False)
    drawn = io.StringIO()
    try:
        "█▀▄".encode(sys.stdout.encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        code.terminal(drawn)
    else:
        code.terminal(drawn, compact=True)
    return drawn.getvalue().rstrip("\n")
