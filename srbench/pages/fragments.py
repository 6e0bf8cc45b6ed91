"""Pages that allow no other style, script or data than their own."""

from __future__ import annotations

import base64
import hashlib


def hashes(*texts: str) -> list[str]:
    """SHA-256 of styles and scripts in a page, as its content security policy states them."""
    return [base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in texts]


def in_script(json: str) -> str:
    """JSON that can stand in a script element: no ``<`` in it can end the element or open a comment."""
    return json.replace("<", "\\u003c")
