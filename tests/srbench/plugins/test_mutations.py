"""Whatever changes a number changes its key, or the number is made again; whatever changes none resamples nothing."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from mutations.cases import OF_METRICS, OF_MODELS
from mutations.runs import INNOCENT, OF_RUNS

from srbench.images.io import write_png

CHANGES = [*OF_MODELS, *OF_METRICS, *OF_RUNS]
CASES = [*CHANGES, *INNOCENT]
REFUSED = ("holds results of", "stands for")
DRIVER = Path(__file__).parents[2] / "mutations" / "driver.py"


def written(folder, files):
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())


def ordered(case, folder, spec, environ):
    own = folder / case.name.replace(" ", "-").replace(",", "") / "code"
    options = {"models": case.models, "metrics": case.metrics, "scale": 2, "data": str(folder / "photos"), "samples": 2}
    return {
        "name": case.name,
        "folder": str(own),
        "environ": environ,
        "path": [str(own / one) for one in case.path],
        "spec": options | {"limit": 1} | spec,
    }


def run_all(folder, cases, number):
    (folder / f"cases{number}.json").write_text(json.dumps(cases))
    names = [str(folder / f"{name}{number}.json") for name in ("cases", "results")]
    subprocess.run([sys.executable, str(DRIVER), *names, str(number)], check=True, timeout=400)
    return json.loads(Path(names[1]).read_text())


@pytest.fixture(scope="module")
def results(tmp_path_factory, draw_image):
    """Results of every case, before and after its change, each in one process."""
    folder = tmp_path_factory.mktemp("mutations")
    for seed in range(2):
        write_png(folder / "photos" / f"{'ab'[seed]}.png", draw_image(seed, 24, 28))
    before = [ordered(case, folder, case.spec, case.environ) for case in CASES]
    for case, order in zip(CASES, before, strict=True):
        written(Path(order["folder"]), case.files)
    first = run_all(folder, before, 1)
    after = [ordered(case, folder, case.spec | case.spec_after, case.environ | case.environ_after) for case in CASES]
    for case, order in zip(CASES, after, strict=True):
        written(Path(order["folder"]), case.after)
    return first, run_all(folder, after, 2)


@pytest.mark.parametrize("case", CHANGES, ids=lambda case: case.name)
def test_a_change_of_a_number_is_seen(results, case):
    before, after = (one[case.name] for one in results)
    assert "error" not in before, before
    if any(reason in after.get("error", "") for reason in REFUSED):
        return  # the folder takes no number of another protocol
    assert "error" not in after, after
    assert before["values"] == before["truth"]
    assert after["truth"] != before["truth"], "the change is one"
    assert after["truth"].items() <= after["values"].items()


@pytest.mark.parametrize("case", INNOCENT, ids=lambda case: case.name)
def test_a_change_of_no_number_makes_nothing_again(results, case):
    before, after = (one[case.name] for one in results)
    assert "error" not in before, before
    assert "error" not in after, after
    assert (after["sampled"], after["scored"], after["said"]) == (0, 0, [])
    assert after["truth"].items() <= before["truth"].items()
