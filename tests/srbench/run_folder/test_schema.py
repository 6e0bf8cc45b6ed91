"""The format of a run folder: its page, the JSON schema and the records, each held against the others."""

from __future__ import annotations

import inspect
import json
import re
from pathlib import Path

import pandas as pd
import pytest
import run_folder_schema
from builders import metric

from srbench.benchmark.run import run, score_run
from srbench.run_folder.folder import subjects
from srbench.run_folder.records import EnvironmentRecord, ImageDigest, PairRecord, SampleRecord, ScoreRecord
from srbench.voting.records import Vote
from srbench.words import natural

jsonschema = pytest.importorskip("jsonschema")

ROOT = Path(__file__).parents[3]
PAGE = ROOT / "docs" / "run-folder.md"
REPORTS = [ROOT / "reports" / name for name in ("photos-x4", "photos-x8")]
KINDS = (EnvironmentRecord, PairRecord, SampleRecord, ScoreRecord, Vote)


def validator(name):
    schema = json.loads(run_folder_schema.FILE.read_text())
    return jsonschema.Draft202012Validator(schema | {"$ref": f"#/$defs/{name}"})


def validate(folder):
    """Validate every line of a run folder; returns how many there are."""
    count = 0
    for kind in KINDS:
        path, valid = folder / kind.FILE, validator(kind.__name__)
        for line in path.read_text().splitlines() if path.exists() else ():
            valid.validate(json.loads(line))
            count += 1
    return count


def test_the_schema_is_that_of_the_code():
    assert run_folder_schema.FILE.read_text() == run_folder_schema.text(), "python tools/run_folder_schema.py"


def test_the_page_states_the_order_of_the_images_of_a_set():
    page = PAGE.read_text()
    assert "array of an array per image, in natural order" in page
    [order] = re.findall(r"Natural order is sorted by `(.+)`", page)
    assert order in inspect.getsource(natural)
    samples = [
        SampleRecord("", 0, "", name, "m", None, "", (ImageDigest(name, None),), 0.0, None, "")
        for name in ("f10", "f9")
    ]
    [subject] = subjects(metric("fid", per="set"), "", samples, {}, "".format)
    assert [sample.image for sample in subject.samples] == ["f9", "f10"]


def test_lines_and_manifest_of_fresh_runs(finished, changed, models):
    run(changed(models=("bicubic", f"{models}:Raises"), metrics=("psnr",)))
    score_run(finished, ["lr_psnr"])
    assert validate(finished) > 50
    validator("Manifest").validate(json.loads((finished / "manifest.json").read_text()))
    broken = json.loads((finished / "rows.jsonl").read_text().splitlines()[0]) | {"colour": "red"}
    with pytest.raises(jsonschema.ValidationError):
        validator("ScoreRecord").validate(broken)


@pytest.mark.parametrize("folder", REPORTS, ids=lambda one: one.name)
def test_lines_of_committed_reports(folder):
    assert validate(folder) > 1000


def test_values_that_are_not_finite(finished):
    valid, line = validator("ScoreRecord"), json.loads((finished / "rows.jsonl").read_text().splitlines()[0])
    for value in (1.5, ["inf", 2], "nan", None):
        valid.validate(line | {"value": value})
    for value in ("much", [None], {}):
        assert not valid.is_valid(line | {"value": value})


def test_the_page_names_every_field():
    text = PAGE.read_text()
    definitions = json.loads(run_folder_schema.FILE.read_text())["$defs"]
    for name in (*(kind.__name__ for kind in KINDS), "ImageDigest", "Manifest", "Vote", "Question", "Shown"):
        for one in definitions[name]["properties"]:
            assert f"`{one}`" in text, one
    assert all(f"`{kind.FILE}`" in text for kind in KINDS)


def test_the_page_makes_the_table(monkeypatch):
    """Its second program uses nothing of srbench, and finds the means of the report."""
    monkeypatch.chdir(ROOT)
    names = {}
    for block in re.findall(r"```python\n(.*?)```", PAGE.read_text(), flags=re.DOTALL):
        exec(compile(block, str(PAGE), "exec"), names)
    wanted = pd.read_csv(REPORTS[1] / "report" / "table.csv").set_index(["model", "temperature"])["psnr"]
    found = names["table"]
    assert len(found) == len(wanted)
    for (model, temperature), mean in found.items():
        rows = wanted.loc[model]
        value = rows.iloc[0] if temperature is None else rows.loc[temperature]
        assert mean == pytest.approx(value, abs=1e-9)
    by_image = names["run"].rows.query("metric == 'psnr'").groupby(["model", "temperature", "image"], dropna=False)
    means = by_image["value"].mean().groupby(["model", "temperature"], dropna=False).mean()
    assert sorted(means) == pytest.approx(sorted(found.values()))
