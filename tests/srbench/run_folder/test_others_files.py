"""Nothing of the user's is deleted, overwritten or reached through a link, whatever a folder from elsewhere says."""

from __future__ import annotations

import json
import re

import pytest
from builders import everything

from srbench.benchmark.run import run
from srbench.images.io import write_png
from srbench.run_folder import RunFolderError


@pytest.mark.parametrize("name", ["strips/mine.png", "images/hr/a.png", "rows.jsonl", ".hidden"])
def test_a_folder_with_other_things_is_refused(spec, tmp_path, draw_image, name):
    path = tmp_path / "run" / name
    write_png(path, draw_image(5, 16, 16))
    before = everything(tmp_path / "run")
    first = re.escape(name.partition("/")[0])
    with pytest.raises(RunFolderError, match=rf"not empty, and not a run folder \({first} is in it\); choose another"):
        run(spec)
    assert everything(tmp_path / "run") == before


def test_a_manifest_that_a_killed_process_had_begun_is_no_other_thing(spec, tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / ".manifest.json.4711").write_text("{")
    assert run(spec).sampled > 0


def replaced(facts, old, new):
    return json.loads(json.dumps(facts).replace(json.dumps(old), json.dumps(new)))


@pytest.mark.parametrize("new", ["../near", "/tmp/near", "..", "a\0b"])
@pytest.mark.parametrize("old", ["near", "a", "psnr"])
def test_names_cannot_lead_out_of_the_folder(finished, command, tmp_path, old, new):
    """A label, an image or a metric in a manifest and lines from elsewhere."""
    before = {path for path in tmp_path.rglob("*") if not path.is_relative_to(finished)}
    for name in ("manifest.json", "pairs.jsonl", "samples.jsonl", "rows.jsonl"):
        path = finished / name
        if name == "manifest.json":
            path.write_text(json.dumps(replaced(json.loads(path.read_text()), old, new)))
        else:
            lines = [json.dumps(replaced(json.loads(line), old, new)) for line in path.read_text().splitlines()]
            path.write_text("\n".join(lines) + "\n")
    for arguments in (["report", finished], ["verify", finished], ["score", finished, "--metrics", "ssim"]):
        done = command(*arguments)
        assert done.code == 1
        assert "Traceback" not in done.err
        assert len(done.err.strip().splitlines()) == 1
    assert {path for path in tmp_path.rglob("*") if not path.is_relative_to(finished)} == before
