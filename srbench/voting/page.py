"""The page on which people vote: served, or a file that opens offline and saves its votes."""

from __future__ import annotations

import base64
import hashlib
import json
from functools import cache
from importlib.resources import files
from io import BytesIO
from pathlib import Path

import numpy as np
from jinja2 import Environment, PackageLoader, Template
from markupsafe import Markup
from msgspec import ValidationError, convert, to_builtins
from numpy.typing import NDArray
from PIL import Image

from srbench.files.atomic import write_whole
from srbench.files.paths import no_file
from srbench.interfaces import Progress, Step, silent
from srbench.pages.fragments import hashes, in_script
from srbench.run_folder.records import digest, strict_json
from srbench.voting import VotingError
from srbench.voting.ballot import Candidates, ballot
from srbench.voting.poll import SIDES, page_facts, window_of
from srbench.voting.records import Vote
from srbench.words import one_line

FORMAT = 1
"""Format of the files that the offline page saves."""


def online_page() -> str:
    """Text of the served page."""
    return _template().render(offline=None)


def export(candidates: Candidates, file: Path, votes: int, seed: int = 0, progress: Progress = silent) -> int:
    """Write a page with one ballot and its images, exact to the pixel, that opens offline; returns its size in bytes.

    All who vote with one file are asked the same; another seed gives another ballot. Raises VotingError if the file
    exists or an image was changed.
    """
    if file.exists() or file.is_symlink():
        raise VotingError(f"{file}: exists; choose another name")
    questions = ballot(candidates, "offline", votes, seed)
    images: dict[str, str] = {}
    entries = []
    for place, question in enumerate(questions):
        progress(Step(place, len(questions), question.image))
        shown = {side: window_of(candidates, question, side) for side in SIDES}
        keys = {
            side: hashlib.sha256(repr(one.shape).encode() + one.tobytes()).hexdigest() for side, one in shown.items()
        }
        for side, key in keys.items():
            if key not in images:
                images[key] = _embedded(shown[side])
        entries.append(page_facts(question) | {"question": to_builtins(question), "images": keys})
    progress(Step(len(questions), len(questions), ""))
    name = digest("offline", [question.id for question in questions])
    contents = json.dumps({"format": FORMAT, "ballot": name, "questions": entries, "images": images})
    style, *scripts = (_source(name) for name in ("vote.css", "vote.js", "offline.js"))
    script = "\n".join(scripts)
    facts = {"style": Markup(style), "script": Markup(script), "contents": Markup(in_script(contents))}
    content = _template().render(offline=facts, hashes=hashes(style, script)).encode()
    write_whole(file, content)
    return len(content)


def read_saved(file: Path) -> list[Vote]:
    """Votes that an offline page has saved. Raises VotingError if the file is none or damaged."""
    if kind := no_file(file):
        raise VotingError(f"{file}: {kind}, not a file; name one that the offline page has saved")
    try:
        facts = strict_json(file.read_bytes())
        if not isinstance(facts, dict) or facts.get("format") != FORMAT:
            raise ValueError(f"its format is not {FORMAT}")
        return convert(facts.get("votes"), list[Vote])
    except OSError as error:
        raise VotingError(f"{file}: cannot be read ({error.strerror}); name a file that the page has saved") from None
    except (ValueError, ValidationError, VotingError, RecursionError) as error:
        raise VotingError(f"{file}: not the votes of an offline page ({one_line(error)})") from None


def _embedded(pixels: NDArray[np.uint8]) -> str:
    buffer = BytesIO()
    Image.fromarray(pixels).save(buffer, format="WebP", lossless=True, quality=50)
    return f"data:image/webp;base64,{base64.b64encode(buffer.getvalue()).decode()}"


def _source(name: str) -> str:
    return (files("srbench.voting") / "templates" / name).read_text(encoding="utf-8")


@cache
def _template() -> Template:
    loader = PackageLoader("srbench.voting")
    environment = Environment(loader=loader, autoescape=True, trim_blocks=True, lstrip_blocks=True)
    return environment.get_template("vote.html.jinja")
