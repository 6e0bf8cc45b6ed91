"""Run folders that are damaged or hostile, at every command that reads one; names of metrics that are markup."""

from __future__ import annotations

import json
import shutil

import pytest


def changed(facts, path, value):
    *outer, last = path
    inner = facts
    for key in outer:
        inner = inner[key]
    inner[last] = value
    return facts


MANIFESTS = {
    "image outside": (("images", 0), "../../../outside", "cannot be the name of an image"),
    "image of lines": (("images", 0), "a\nb", "cannot be the name of an image"),
    "label reserved": (("models", 0, "label"), "HR", "cannot be the name of a model"),
    "digits": (("metrics", 0, "digits"), 10**9, "decimals"),
    "key": (("more",), 1, "unknown key 'more'"),
}
COMMANDS = [
    "report RUN",
    "verify RUN",
    "score RUN --metrics ssim --workers 1",
    "merge RUN --out {here}/merged",
    "compare bicubic bicubic --run RUN",
    "view RUN --no-browser --port 0",
]


@pytest.mark.parametrize("name", MANIFESTS)
def test_manifest(refused, finished, tmp_path, name):
    path, value, says = MANIFESTS[name]
    run = shutil.copytree(finished, tmp_path / "run")
    (run / "report" / "report.html").unlink()
    facts = changed(json.loads((run / "manifest.json").read_text()), path, value)
    (run / "manifest.json").write_text(json.dumps(facts))
    for command in COMMANDS:
        refused(command.replace("RUN", "{here}/run"), says, kept=["run"])
    assert not (tmp_path / "merged").exists()


LINES = {
    "no json": "{",
    "deep": "[" * 100_000,
    "nan": '{"key": NaN}',
    "bytes": b"\xff\xfe",
}


@pytest.mark.parametrize(
    ("name", "file"), [*((name, "rows.jsonl") for name in LINES), ("nan", "pairs.jsonl"), ("nan", "samples.jsonl")]
)
def test_line(refused, finished, tmp_path, name, file):
    """A damaged line is named with its number, and no command makes a table of the others or drops one."""
    run = shutil.copytree(finished, tmp_path / "run")
    line = LINES[name] if isinstance(LINES[name], bytes) else LINES[name].encode()
    (run / file).write_bytes((run / file).read_bytes() + line + b"\n")
    for command in COMMANDS[:4]:
        lines = (run / file).read_bytes()
        refused(command.replace("RUN", "{here}/run"), rf"{file}: line \d is damaged")
        assert (run / file).read_bytes() == lines


@pytest.mark.parametrize(
    ("command", "says"),
    [
        ("report {here}/absent", r"absent: missing, not a run folder; name the folder"),
        ("report {bad}/key.toml", r"key\.toml: a file, not a run folder; name the folder"),
        ("report RUN --format pdf", r"pdf"),
        ("report RUN --baseline nothing", r"nothing"),
        ("report RUN --out {bad}/fine", r"fine: not made by srbench"),
        ("verify {bad}/fine", r"fine: no run in it"),
        ("compare RUN/.. RUN", r"not a run, but a folder of runs; name one of them, such as \S+/run$"),
        ("score RUN --metrics nothing", r"unknown metric 'nothing'; .*pyiqa:NAME"),
        ("merge RUN {bad}/fine --out {here}/merged", r"fine: no run in it"),
        ("merge RUN RUN --out {bad}/fine", r"fine: already exists"),
        ("compare bicubic nothing --run RUN", r"nothing"),
    ],
)
def test_refused(refused, finished, command, says):
    refused(command.replace("RUN", str(finished)), says)


def test_the_title_of_a_metric_stays_text(finished):
    """``A_b|$&`` and a tag are no column of their own, no formula and no HTML."""
    [row] = [
        line for line in (finished / "report" / "report.md").read_text().splitlines() if line.startswith("| model")
    ][:1]
    assert r"A_b\|\$\& \<b\> ↑" in row
    tex = (finished / "report" / "table.tex").read_text()
    assert r"A\_b\textbar{}\$\&" in tex
    assert r"\textless{}b\textgreater{}" in tex
