"""``srbench.read_run``, the page about its format and the JSON schema, each held against the others."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import run_folder_schema

import srbench
from srbench.benchmark.run import run, score_run
from srbench.run_folder import RunFolderError
from srbench.run_folder.records import EnvironmentRecord, PairRecord, SampleRecord, ScoreRecord
from srbench.voting.records import Vote

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
    by_image = names["run"].scores.query("metric == 'psnr'").groupby(["model", "temperature", "image"], dropna=False)
    means = by_image["value"].mean().groupby(["model", "temperature"], dropna=False).mean()
    assert sorted(means) == pytest.approx(sorted(found.values()))


def test_tables_of_a_run(finished, changed, models):
    run(changed(models=(f"{models}:Raises",)))
    found = srbench.read_run(finished)
    assert list(found.pairs["image"]) == ["a", "b", "c"]
    assert len(found.samples) == 12
    assert found.samples.query("model == 'Raises'")["error"].str.contains("no memory").all()
    scores = found.scores
    assert set(scores["sample"]) == {-1, 0, 1}
    assert scores["value"].notna().all()
    assert set(scores["environment"]) == set(found.environments.index)
    assert found.environments["device"].tolist() == ["cpu"]
    assert len(list(found.lines(ScoreRecord))) == len(set(scores["key"]))


def test_lines_are_read_one_by_one(finished):
    path = finished / "samples.jsonl"
    path.write_text(path.read_text() + "{}\n" + '{"torn')
    found = srbench.read_run(finished)
    lines = found.lines(SampleRecord)
    assert [next(lines).image for _ in range(9)]
    with pytest.raises(RunFolderError, match="line 10 is damaged"):
        next(lines)


def test_the_header_is_read_without_lines_and_large_libraries(finished):
    for kind in KINDS:
        (finished / kind.FILE).write_text("damaged\n")
    code = f"import sys, srbench; print(srbench.read_run({str(finished)!r}).manifest.images)"
    code += "; assert not {'torch', 'pandas'} & set(sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300)
    assert done.stdout == "('a', 'b', 'c', 'd')\n", done.stderr


def test_what_is_no_run(tmp_path):
    with pytest.raises(RunFolderError, match="no run in it"):
        srbench.read_run(tmp_path)
