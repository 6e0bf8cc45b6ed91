"""Fragments of pages whose security policy permits only their own style and script."""

from __future__ import annotations

import base64
import hashlib


def hashes(*texts: str) -> list[str]:
    """Return the SHA-256 of styles and scripts in the format of a Content Security Policy."""
    return [base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in texts]


def in_script(json: str) -> str:
    """Escape JSON for a script element, where a ``<`` could end the element or open a comment."""
    return json.replace("<", "\\u003c")
