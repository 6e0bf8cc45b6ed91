"""Damaged and hostile run folders: at every command that reads one, one line and never a traceback."""

from __future__ import annotations

import copy
import json
import os
import shutil
from pathlib import Path

import pytest
from builders import drawn
from page_data import data_of, files_of

from srbench.images.io import encode_png
from srbench.verification.verify import verify

WRONG = [None, True, -1, 3, 1e999, "text", "", [], [1], {}, {"a": 1}, [[]], "x" * 300]
FILES = ("manifest.json", "pairs.jsonl", "samples.jsonl", "rows.jsonl")


def paths(value, path=()):
    """Places where something could be of another shape: every key, and the first entry of every list."""
    if path:
        yield path
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from paths(inner, (*path, key))
    elif isinstance(value, list) and value:
        yield from paths(value[0], (*path, 0))


def put(facts, path, value):
    changed = copy.deepcopy(facts)
    inner = changed
    for key in path[:-1]:
        inner = inner[key]
    if value is KeyError:
        del inner[path[-1]]
    else:
        inner[path[-1]] = value
    return json.dumps(changed)


def damages(content, name):
    """Texts in place of a file's: its first object with one value of the wrong shape."""
    if name == "manifest.json":
        facts = json.loads(content)
        yield from (json.dumps(value) for value in WRONG)
        yield from (put(facts, path, value) for path in paths(facts) for value in [KeyError, *WRONG])
        return
    first, *rest = content.splitlines()
    others = "".join(f"{line}\n" for line in rest)
    yield from (f"{json.dumps(value)}\n{others}" for value in WRONG)
    facts = json.loads(first)
    yield from (f"{put(facts, path, value)}\n{others}" for path in paths(facts) for value in [KeyError, *WRONG])


@pytest.mark.filterwarnings("ignore:.* changed since srbench wrote SHA256SUMS")
@pytest.mark.parametrize("name", FILES)
def test_valid_json_of_the_wrong_shape(finished, srbench, name):
    """Every value of manifest and first lines, replaced by others: the report is made, or refused in one line."""
    path = finished / name
    content = path.read_text()
    refused = made = 0
    texts = list(damages(content, name))
    for text in texts[:: len(texts) // 60 + 1]:
        path.write_text(text)
        done = srbench("report", finished, "--format", "csv")
        assert done.exit_code in (0, 1), (text[:300], done.output)
        if done.exit_code:
            refused += 1
            assert len(done.output.strip().splitlines()) == 1, (text[:300], done.output)
            assert done.output.startswith("srbench: ")
        else:
            made += 1
    assert refused > 15
    path.write_text(content)
    assert srbench("report", finished, "--format", "csv").exit_code == 0
    assert srbench("verify", finished).exit_code == 0


DAMAGES = {
    "hr/a.png": lambda path: path.write_bytes(path.read_bytes()[:100]),
    "lr/b.png": lambda path: path.write_bytes(b"text"),
    "near/a.png": lambda path: (path.unlink(), path.mkdir()),
    "near/b.png": lambda path: path.write_bytes(encode_png(drawn(9, 32, 40))),
    "noisy-t0.8/c_sample0.png": lambda path: path.write_bytes(encode_png(drawn(9, 8, 8))),
}
"""What may have happened to an image: cut, no image, a folder, another image, another size."""


def test_images_that_are_not_those_of_their_records_are_not_shown(finished, command):
    for name, damage in DAMAGES.items():
        damage(finished / "images" / name)
    done = command("report", finished)
    assert done.code == 0, done.err
    text = (finished / "report" / "report.md").read_text()
    assert "Not shown, because the files were changed after they were measured" in text
    page = (finished / "report" / "report.html").read_text()
    shown = {file for files in files_of(data_of(page)["images"]) for file in files}
    assert "../images/near/c.png" in shown
    for name in DAMAGES:
        assert Path(name).name.replace("_", "\\_") in text or Path(name).name in text
        assert f"../images/{name}" not in shown
    rules = {(finding.rule, finding.where) for finding in verify(finished).findings}
    assert rules >= {("file-differs", f"images/{name}") for name in DAMAGES}
    assert command("compare", "near", "noisy-t0.8", "--run", finished).code == 0


def test_values_that_do_not_fit_their_samples(finished, command):
    path = finished / "rows.jsonl"
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    for line in lines:
        if isinstance(line["value"], list):
            line["value"].append(1.0)
    path.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    done = command("report", finished)
    assert done.code == 1
    assert "has 2 values for 1 samples" in done.err


RUN = "run --models bicubic --scale 4 --data {here}/photos --out {here}/run"
COMMANDS = [
    "verify {here}/run",
    RUN,
    "report {here}/run",
    "score {here}/run --metrics lr_psnr",
    "compare near near --run {here}/run",
    "merge {here}/run --out {here}/merged",
    "view {here}/run --no-browser --port 0",
]


def test_a_damaged_manifest_is_refused_by_every_command(refused, finished, tmp_path):
    facts = json.loads((finished / "manifest.json").read_text())
    (finished / "manifest.json").write_text(json.dumps(facts | {"more": 1}))
    for command in COMMANDS:
        refused(command, "unknown key 'more'", kept=["run"])
    assert not (tmp_path / "merged").exists()


LINES = {"no json": b"{", "deep": b"[" * 100_000, "nan": b'{"key": NaN}', "bytes": b"\xff\xfe"}


@pytest.mark.parametrize(
    ("name", "file"), [*((name, "rows.jsonl") for name in LINES), ("nan", "pairs.jsonl"), ("nan", "samples.jsonl")]
)
def test_a_damaged_line_is_named_with_its_number_by_every_command(refused, finished, name, file):
    """No command makes a table of the other lines or drops it."""
    (finished / file).write_bytes((finished / file).read_bytes() + LINES[name] + b"\n")
    lines = (finished / file).read_bytes()
    for command in COMMANDS:
        refused(command, rf"{file}: line \d+ is damaged")
        assert (finished / file).read_bytes() == lines


KINDS = {
    "pipe": (os.mkfifo, r"a pipe, a socket or a device, not a file of"),
    "folder": (Path.mkdir, r"a folder, not a file of"),
    "link": (lambda path: path.symlink_to("nowhere"), r"a link, not a file of"),
}


def in_place_of(path, kind):
    path.unlink(missing_ok=True)
    KINDS[kind][0](path)


@pytest.mark.parametrize(
    ("file", "kind"),
    [
        *((file, "pipe") for file in (*FILES, ".lock", ".report.lock", "other")),
        ("rows.jsonl", "folder"),
        ("rows.jsonl", "link"),
        (".lock", "link"),
        ("votes.jsonl", "link"),
    ],
)
def test_what_is_no_file_is_neither_waited_for_nor_followed(refused, finished, tmp_path, file, kind):
    in_place_of(finished / file, kind)
    before = set(tmp_path.iterdir())
    for command in COMMANDS if (file, kind) == ("rows.jsonl", "pipe") else COMMANDS[:2]:
        says = rf"run/{file}: {KINDS[kind][1]}" + ("|no run in it|not a run folder" if file == "manifest.json" else "")
        refused(command, says, kept=["run"])
    assert set(tmp_path.iterdir()) == before, "nothing was written where the link leads"


@pytest.mark.parametrize("folder", ["images", "images/near"])
def test_a_folder_of_images_that_is_a_link(refused, finished, tmp_path, folder):
    """What lies where it leads is not overwritten."""
    shutil.move(finished / folder, tmp_path / "outside")
    (finished / folder).symlink_to(tmp_path / "outside")
    for file in (tmp_path / "outside").rglob("*.png"):
        file.write_bytes(b"mine")
    command = RUN.replace("bicubic", "near={here}/models.py:Nearest --samples 2 --limit 3")
    refused(command, rf"run/{folder}: a link, and runs are only", kept=["outside"])


@pytest.mark.usefixtures("no_hang")
@pytest.mark.parametrize("file", ["images/hr/a.png", "images/near/b.png"])
def test_an_image_that_is_a_pipe_is_missed_and_not_waited_for(srbench, finished, file):
    in_place_of(finished / file, "pipe")
    assert srbench("verify", finished).exit_code == 1
    assert srbench("score", finished, "--metrics", "lr_psnr").exit_code == (1 if "hr" in file else 0)
