"""What ``submit`` refuses, and what ``index --check`` finds in a folder of results."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from builders import metric
from record_runs import Made, sum_up, write_run

from srbench.interfaces import WeightsInfo
from srbench.leaderboard.check import check_index


@pytest.fixture
def run(twenty, tmp_path):
    """A finished run of three models, outside the folder of results."""
    return Path(
        shutil.copytree(twenty / "set-b" / "three", tmp_path / "mine", ignore=shutil.ignore_patterns("report*"))
    )


@pytest.fixture
def results(run, srbench, tmp_path):
    """A folder with that run and its images."""
    done = srbench("submit", run, "--to", tmp_path / "results", "--images")
    assert done.exit_code == 0, done.output
    return tmp_path / "results"


def lines_of(path):
    return path.read_text().splitlines(keepends=True)


def edit_value(run):
    rows = lines_of(run / "rows.jsonl")
    place = next(number for number, line in enumerate(rows) if '"psnr"' in line)
    facts = json.loads(rows[place])
    facts["value"][0] += 1
    rows[place] = json.dumps(facts) + "\n"
    (run / "rows.jsonl").write_text("".join(rows))


def swap_images(run):
    one, other = (run / "images" / "bicubic" / f"{number}.png" for number in (0, 1))
    first, second = one.read_bytes(), other.read_bytes()
    one.write_bytes(second)
    other.write_bytes(first)


def drop_row(run):
    (run / "rows.jsonl").write_text("".join(lines_of(run / "rows.jsonl")[:-1]))


def forge_sums(run):
    """Sums that fit what is there."""
    before = dict(reversed(line.split()) for line in lines_of(run / "SHA256SUMS"))
    sum_up(run)
    after = dict(reversed(line.split()) for line in lines_of(run / "SHA256SUMS"))
    (run / "SHA256SUMS").write_text(
        "".join(f"{one}  {name}\n" for name, one in {**before, **after}.items() if not name.startswith("report"))
    )


DAMAGE = {
    (edit_value, False): "SRB001",
    (edit_value, True): "SRB005",
    (swap_images, False): "SRB002",
    (drop_row, False): "SRB001",
    (drop_row, True): "SRB003",
}


@pytest.mark.parametrize(("damage", "forged"), DAMAGE)
def test_submit_refuses_and_check_finds(run, results, command, tmp_path, damage, forged):
    rule = DAMAGE[damage, forged]
    for one in (run, results / "mine"):
        damage(one)
        if forged:
            forge_sums(one)
    done = command("submit", run, "--to", tmp_path / "others")
    assert done.code == 1
    assert "not submitted" in done.err
    assert not (tmp_path / "others").exists()
    _, faults = check_index([results])
    assert rule in {fault.rule for fault in faults}
    assert {Path(fault.name).name for fault in faults} == {"mine"}


def test_a_run_that_holds_is_submitted_once(run, results, command):
    target = results / "mine"
    assert {file.name for file in target.iterdir()} >= {
        "manifest.json",
        "rows.jsonl",
        "SHA256SUMS",
        "verified.json",
        "report.html",
        "images",
    }
    again = command("submit", run, "--to", results)
    assert (again.code, "already exists" in again.err) == (1, True)
    done = command("index", results, "--check")
    assert done.code == 0, done.out
    assert "1 run, 56 of 84 values verified, 0 runs contradicted" in done.out
    assert [file.name for file in results.iterdir()] == ["mine"], "nothing is left behind, or written by --check"


def test_without_images_only_the_records_can_be_checked(run, command, tmp_path):
    results = tmp_path / "results"
    assert command("submit", run, "--to", results).code == 0
    assert not (results / "mine" / "images").exists()
    done = command("index", results, "--check")
    assert (done.code, "0 of 84 values verified" in done.out) == (0, True)
    assert command("index", results).code == 0
    [standing] = json.loads((results / "index.json").read_text())["runs"].values()
    assert standing["words"].endswith("56 of 84 values and 0 of 28 items"), "what the sender has verified"
    edit_value(results / "mine")
    done = command("index", results, "--check")
    assert done.code == 1
    assert "mine: SRB001: rows.jsonl" in done.out


def test_an_unfinished_run_is_refused(run, command, tmp_path):
    facts = json.loads((run / "manifest.json").read_text())
    facts["invocations"][-1]["finished"] = None
    (run / "manifest.json").write_text(json.dumps(facts))
    done = command("submit", run, "--to", tmp_path / "results")
    assert (done.code, "did not finish" in done.err) == (1, True)


PIXELS = {"one": "1" * 64, "two": "2" * 64}
LEVELS = {"a": {"psnr": [20.0, 21.0]}}
PLAIN = Made(PIXELS, LEVELS)


def weighing(digit, scale=4):
    """A run of a model whose weights and digest are of this digit."""
    weights = {"a": WeightsInfo(digit * 64, "MIT", "photos", 1)}
    return Made(PIXELS, LEVELS, weights=weights, digests={"a": digit}, protocol={"scale": scale})


@pytest.mark.parametrize(
    ("first", "second", "rules"),
    [
        pytest.param(weighing("1"), weighing("2"), ["SRB014"], id="other weights of one name"),
        pytest.param(weighing("4"), weighing("8", scale=8), [], id="weights of another scale are others"),
        pytest.param(PLAIN, Made({**PIXELS, "two": "3" * 64}, LEVELS), ["SRB015"], id="another dataset of one name"),
        pytest.param(PLAIN, Made({"one": "1" * 64}, LEVELS), [], id="a part of the dataset"),
        pytest.param(PLAIN, Made(PIXELS, {"a": {"psnr": [20.0, 21.1]}}), ["SRB013"], id="another value of one model"),
    ],
)
def test_runs_that_contradict_each_other(tmp_path, first, second, rules):
    for name, one in {"x": first, "y": second}.items():
        write_run(tmp_path / name, replace(one, metrics=(metric("psnr"),)))
    _, faults = check_index([tmp_path])
    assert [(Path(fault.name).name, fault.rule) for fault in faults] == [("y", rule) for rule in rules]


def test_the_workflow_of_the_documentation_runs_the_commands_of_the_page():
    text = (Path(__file__).parents[3] / "docs" / "leaderboard.md").read_text()
    page, workflow = re.search(r"```sh\n(.*?)```", text, re.S)[1], re.search(r"```yaml\n(.*?)```", text, re.S)[1]
    commands = [line.partition("run: ")[2] for line in workflow.splitlines() if "run: srbench" in line]
    assert len(commands) == 2
    assert set(commands) < set(page.splitlines())
