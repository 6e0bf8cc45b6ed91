"""Files of a leaderboard: index.html, index.md, index.csv and index.json."""

from __future__ import annotations

import csv
import io
import json
import math
import os
from pathlib import Path

from srbench.files.atomic import write_whole
from srbench.files.hashes import sha256_bytes, sha256_file
from srbench.interfaces import Progress, silent
from srbench.leaderboard import LeaderboardError
from srbench.leaderboard.contents import Index, Standings, facts_of, make_index
from srbench.leaderboard.order import BORDA, RANKS
from srbench.leaderboard.summary import runs_below
from srbench.pages import markdown
from srbench.reporting.rendering import rendered, style_and_script
from srbench.reporting.scores import header
from srbench.run_folder.manifest import FILE as MANIFEST

_CSV = (
    "datasets",
    "data",
    "images",
    "scale",
    "suite",
    "model",
    "temperature",
    "samples",
    "seed",
    "digest",
    "competes",
    "metric",
    "signature",
    "mean",
    "rank",
    "group",
    "state",
    "runs",
)
LIST = "index.json"
"""File that holds all contents, and the SHA-256 of the others, by which they are known to be ours."""


def write_index(
    folders: list[Path], out: Path | None = None, progress: Progress = silent
) -> tuple[Index, list[Path], list[tuple[Path, Path]]]:
    """Write the leaderboard of all runs below some folders into ``out``, or into the first of them.

    Returns it, the files, and others that were in the way, with their new names: nothing of the user's is overwritten.
    Raises LeaderboardError if there is no run, or ``out`` is one.
    """
    out = (out or folders[0]).resolve()
    if (out / MANIFEST).exists():
        raise LeaderboardError(f"{out}: is a run; give the folder that holds it, or --out for the leaderboard")
    names = {path: Path(os.path.relpath(path, out)).as_posix() for path in runs_below(folders)}
    index = make_index(names, progress)
    texts = {"index.html": page_text(index), "index.md": markdown_text(index), "index.csv": csv_text(index)}
    contents = {name: text.encode() for name, text in texts.items()}
    sums = {name: sha256_bytes(content) for name, content in contents.items()}
    facts = {"files": sums, **facts_of(index)}
    contents[LIST] = (json.dumps(facts, indent=1, ensure_ascii=False, allow_nan=False) + "\n").encode()
    ours, moved = _written_before(out), []
    for name, content in contents.items():
        file = out / name
        if file.is_symlink() or (file.exists() and ours.get(name) != (sha256_file(file) if file.is_file() else "")):
            moved.append((file, moved_aside(file)))
        write_whole(file, content)
    return index, [out / name for name in contents], moved


def moved_aside(path: Path) -> Path:
    """Rename a file to the first free name, such as ``index.md.1``; returns its new path."""
    number = 1
    while (aside := path.with_name(f"{path.name}.{number}")).exists() or aside.is_symlink():
        number += 1
    return path.rename(aside)


def _written_before(out: Path) -> dict[str, str]:
    """SHA-256 by name of the files that the last leaderboard in a folder wrote."""
    try:
        content = (out / LIST).read_bytes()
        facts = json.loads(content)
        return {**facts["files"], LIST: sha256_bytes(content)} if "tables" in facts else {}
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        return {}


def page_text(index: Index) -> str:
    """Text of index.html. Jinja escapes all names; the policy allows our style and script alone."""
    tables = [one.table for one in index.standings]
    return (
        rendered(
            "index.html.jinja",
            index=index,
            **style_and_script(["report.css", "leaderboard.css"], ["tables.js", "leaderboard.js"]),
            datasets=sorted({name for table in tables for name in table.datasets}),
            scales=sorted({table.protocol.scale for table in tables}),
            suites=sorted({table.protocol.suite for table in tables}),
            ranks_rule=RANKS,
            borda_rule=BORDA,
        )
        + "\n"
    )


def markdown_text(index: Index) -> str:
    """Text of index.md."""
    return rendered("index.md.jinja", index=index, table=_markdown_table, ranks_rule=RANKS, borda_rule=BORDA) + "\n"


def _markdown_table(one: Standings) -> str:
    lines = []
    for place in one.places:
        cells = [f"{cell.text} ({cell.rank}{cell.group})" if cell.rank else cell.text for cell in place.cells]
        label = place.row.label if place.competes else f"variant {place.row.label}"
        lines.append([markdown.escape(label), *cells, place.state])
    for line in one.published:
        lines.append([f"*{markdown.escape(line.label)}*", *(cell.text for cell in line.cells.values()), "published"])
    return markdown.table(["model", *map(header, one.table.metrics), "state"], lines)


def csv_text(index: Index) -> str:
    """Text of index.csv: one line per value."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(_CSV)
    for one in index.standings:
        table = one.table
        where = [" = ".join(table.datasets), table.data, len(table.images), table.protocol.scale, table.protocol.suite]
        for place in one.places:
            row = place.row
            samples, seed = row.draw or (None, None)
            what = [row.setting.model, row.setting.temperature, samples, seed, row.model.digest, place.competes]
            runs = [place.state, " ".join(run.name for run in row.runs)]
            for metric, cell in zip(table.metrics, place.cells, strict=True):
                if not math.isnan(cell.mean):
                    value = [metric.name, metric.signature, cell.mean, cell.rank, cell.group]
                    writer.writerow([*where, *what, *value, *runs])
    return text.getvalue()
