"""Folders that are damaged: valid JSON of the wrong shape, images that are others. One line each, never a traceback."""

from __future__ import annotations

import copy
import json

import pytest
from page_data import data_of, files_of
from PIL import Image

from srbench.images.io import encode_png

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


@pytest.mark.parametrize("name", FILES)
def test_valid_json_of_the_wrong_shape(finished, srbench, name):
    """Every value of manifest and first lines, replaced by others: the report is made, or refused in one line."""
    path = finished / name
    content = path.read_text()
    (finished / ".manifest.json").unlink()
    refused = made = 0
    texts = list(damages(content, name))
    for text in texts[:: 1 if len(texts) < 200 else len(texts) // 200 + 1]:
        path.write_text(text)
        done = srbench("report", finished, "--format", "csv")
        assert done.exit_code in (0, 1), (text[:300], done.output, done.exception)
        assert not (done.exception and not isinstance(done.exception, SystemExit)), (text[:300], done.exception)
        if done.exit_code:
            refused += 1
            assert len(done.output.strip().splitlines()) == 1, (text[:300], done.output)
            assert done.output.startswith("srbench: ")
        else:
            made += 1
    assert refused > 20
    path.write_text(content)
    assert srbench("verify", finished).exit_code == 3, "sigma"


@pytest.mark.parametrize(
    "text", ["", "{", "[" * 100_000, "null", '{"format": 4}', "\x00", '{"format": 3}', '{"format": 5}']
)
def test_a_damaged_manifest(finished, command, text):
    (finished / "manifest.json").write_text(text)
    (finished / ".manifest.json").unlink()
    for arguments in (["report", finished], ["verify", finished], ["score", finished, "--metrics", "ssim"]):
        done = command(*arguments)
        assert done.code == 1
        assert "Traceback" not in done.err
        assert len(done.err.strip().splitlines()) == 1


@pytest.mark.parametrize("kind", ["hr", "lr", "near", "noisy-t0.8"])
@pytest.mark.parametrize("damage", ["truncated", "another", "no image", "a folder", "another size"])
def test_an_image_that_is_another_is_not_shown(finished, command, draw_image, kind, damage):
    ending = "_sample0" if "noisy" in kind else ""
    path = finished / "images" / kind / f"a{ending}.png"
    content = path.read_bytes()
    path.unlink()
    if damage == "a folder":
        path.mkdir()
    elif damage == "truncated":
        path.write_bytes(content[: len(content) // 2])
    elif damage == "no image":
        path.write_bytes(b"text")
    else:
        path.write_bytes(encode_png(draw_image(9, 32, 32) if damage == "another" else draw_image(9, 8, 8)))
    done = command("report", finished)
    assert done.code == 0, done.err
    text = (finished / "report" / "report.md").read_text()
    assert "Not shown, because they are not the images that were measured" in text
    assert path.name.replace("_", "\\_") in text or path.name in text
    page = (finished / "report" / "report.html").read_text()
    shown = {file for files in files_of(data_of(page)["images"]) for file in files}
    assert f"images/{kind}/a{ending}.png" not in shown
    assert "images/near/b.png" in shown
    with Image.open(finished / "report" / "strips" / "b.png") as strip:
        strip.load()
    assert command("verify", finished).code == 1
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
