"""A hook of MkDocs: links that leave docs/ become the paths that they show, as the site has only what is in docs/."""

from __future__ import annotations

import re
from typing import Any

_OUTSIDE = re.compile(r"\[([^\]]+)\]\(\.\./([^)#]+)[^)]*\)")


def on_page_markdown(markdown: str, **_: Any) -> str:  # noqa: ANN401 - MkDocs' own arguments
    """``[NOTICE](../NOTICE)`` -> ``NOTICE``, ``[list](../srbench/list.csv)`` -> ``list (srbench/list.csv)``."""

    def shown(link: re.Match[str]) -> str:
        text, path = link[1], link[2]
        return text if text.strip("`") in path else f"{text} (`{path}`)"

    return _OUTSIDE.sub(shown, markdown)
