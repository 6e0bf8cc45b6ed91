"""The page of a study: ``index.html`` and images, for a web server or to open from the disk."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from importlib.resources import files
from io import BytesIO

from PIL import Image

from srbench.pages.fragments import hashes, in_script
from srbench.voting.records import LR
from srbench.voting.study import Asked, Study


def page(study: Study, turns: Sequence[Sequence[Asked]], votes: int) -> Iterator[tuple[str, bytes]]:
    """Yield names and contents of the files of the page, which asks each rater at most ``votes`` questions.

    Nothing in them tells a model or the name of an image.
    """
    names = sorted({name for turn in turns for asked in turn for name in asked})
    reference = next(study.parts[asked[0]].shown.name for turn in turns for asked in turn)
    facts = in_script(json.dumps({"id": study.id, "votes": votes, "reference": reference, "turns": turns}))
    html, style, script = (
        (files("srbench.voting") / "templates" / f"vote.{kind}").read_text(encoding="utf-8")
        for kind in ("html", "css", "js")
    )
    of_style, of_script = hashes(style, script)
    policy = (
        f"default-src 'none'; img-src 'self' file: data:; style-src 'sha256-{of_style}'; "
        f"script-src 'sha256-{of_script}'; base-uri 'none'; form-action 'none'"
    )
    for mark, text in {"POLICY": policy, "STYLE": style, "STUDY": facts, "SCRIPT": script}.items():
        html = html.replace(f"{{{{ {mark} }}}}", text)
    yield "index.html", html.encode()
    scale = study.run.manifest.protocol.scale
    for name in names:
        file, _, window, shown = study.parts[name]
        x, y, width, height = (number // (scale if shown.name == LR else 1) for number in window)
        png = BytesIO()
        with Image.open(file, formats=["PNG"]) as image:
            image.convert("RGB").crop((x, y, x + width, y + height)).save(png, "PNG")
        yield f"images/{name}.png", png.getvalue()
