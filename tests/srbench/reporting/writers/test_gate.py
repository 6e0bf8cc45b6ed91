"""``srbench compare --fail-if-worse``: what fails, what passes, and how often equal models fail."""

from __future__ import annotations

import math
import re
from pathlib import Path

import numpy as np
import pytest
from builders import metric

from srbench.judging import sign_flips as statistics
from srbench.judging.sign_flips import ALPHA, fewest_units, p_values
from srbench.judging.verdicts import difference_of, losses
from srbench.run_folder.values import Values

RANDOM = np.random.default_rng(3)
NAMES = [f"{k:02}" for k in range(12)]
NOISE = RANDOM.normal(0, 1, (12, 2))
NOISE -= NOISE.mean(axis=0)
PAGE = Path(__file__).parents[4] / "docs" / "gate.md"


def values(psnr=0.0, lpips=0.0, names=NAMES):
    """Shifted by so much on average, with scatter: a psnr of -0.5 and an lpips of 0.05 are significant."""
    scatter = NOISE * (psnr != 0, lpips != 0)
    rows = zip(names, scatter, strict=False)
    return {name: (25 + psnr + 0.1 * float(p), 0.4 + lpips + 0.01 * float(q)) for name, (p, q) in rows}


@pytest.fixture
def runs(make_run):
    """runs(psnr=..., lpips=...): folders of a released model, and of a new one that differs by so much."""

    def call(psnr=0.0, lpips=0.0, **changes):
        released = make_run("released", {("net", None): values()})
        return released, make_run("new", {("net", None): values(psnr, lpips)}, **changes)

    return call


@pytest.mark.parametrize(
    ("change", "named", "code", "says"),
    [
        (
            {"psnr": -0.5},
            "lpips",
            0,
            "B (net @ new) is not significantly worse than A (net @ released) in LPIPS (p < 0.05).",
        ),
        (
            {"psnr": 0.5},
            "psnr",
            0,
            "B (net @ new) is not significantly worse than A (net @ released) in PSNR (p < 0.05).",
        ),
        (
            {"lpips": -0.05},
            "lpips",
            0,
            "B (net @ new) is not significantly worse than A (net @ released) in LPIPS (p < 0.05).",
        ),
        (
            {},
            "psnr,lpips",
            0,
            "B (net) is not significantly worse than A (net) in PSNR, LPIPS (p < 0.05, corrected for 2 tests).",
        ),
        (
            {"psnr": -0.5},
            "psnr",
            1,
            r"B \(net @ new\) is significantly worse than A \(net @ released\) in PSNR: A - B = 0\.50, 95 % interval "
            r"0\.4\d to 0\.5\d \(p < 0\.05\)\.",
        ),
        (
            {"psnr": -0.5, "lpips": 0.05},
            "lpips,psnr",
            1,
            r"B \(net @ new\) is significantly worse than A \(net @ released\) in PSNR: A - B = 0\.50, 95 % interval "
            r"0\.4\d to 0\.5\d; LPIPS: A - B = -0\.050, 95 % interval -0\.05\d to -0\.04\d \(p < 0\.05, corrected for "
            r"2 tests\)\.",
        ),
    ],
)
def test_the_last_line_and_the_exit_code(runs, srbench, change, named, code, says):
    found = srbench("compare", *runs(**change), "--fail-if-worse", named)
    assert found.exit_code == code, found.output
    last = found.stdout.splitlines()[-1]
    assert re.fullmatch(says if code else re.escape(says), last), last
    baseline, candidate = (Path(run) for run in runs())
    assert [(run / "compare").is_dir() for run in (baseline, candidate)] == [False, True], "the baseline is committed"


def test_a_is_the_reference(runs, srbench):
    released, new = runs(psnr=-0.5)
    assert srbench("compare", new, released, "--fail-if-worse", "psnr").exit_code == 0


def test_two_models_of_a_run(make_run, srbench):
    run = make_run("run", {("old", None): values(), ("new", None): values(-0.5)})
    assert srbench("compare", "old", "new", "--run", run, "--fail-if-worse", "psnr").exit_code == 1
    assert srbench("compare", "new", "old", "--run", run, "--fail-if-worse", "psnr").exit_code == 0


def test_every_model_of_two_runs_is_judged(make_run, srbench):
    """Tests are counted over models, too."""
    runs = [make_run("a", {("m", None): values(), ("n", None): values()})]
    runs.append(make_run("b", {("m", None): values(), ("n", None): values(-0.5)}))
    found = srbench("compare", *runs, "--fail-if-worse", "psnr")
    assert found.exit_code == 1
    last = found.stdout.splitlines()[-1]
    assert last.startswith("B (n @ b) is significantly worse than A (n @ a) in PSNR")
    assert last.endswith("corrected for 2 tests).")
    found = srbench("compare", *runs, "--fail-if-worse", "lpips")
    assert found.exit_code == 0
    last = (
        "B (m) is not significantly worse than A (m) and B (n @ b) is not significantly worse than A (n @ a) in LPIPS "
    )
    assert found.stdout.splitlines()[-1].startswith(last)


def test_metrics_are_also_named_as_when_they_were_measured(make_run, srbench):
    luma = metric("psnr_channels_Y", spec="psnr+channels=Y")
    run = make_run("run", {("m", None): values(), ("n", None): values(-0.5)}, metrics=(luma, metric("lpips")))
    for name in ("psnr_channels_Y", "psnr+channels=Y", "psnr+channels=Y,psnr_channels_Y"):
        found = srbench("compare", "m", "n", "--run", run, "--fail-if-worse", name)
        assert found.exit_code == 1, found.output
        assert found.stdout.endswith("(p < 0.05).\n"), "named twice, tested once"


def test_more_metrics_need_a_smaller_p(make_run, srbench):
    """Nine images of twelve are worse by as much as the others are better: p = .046 without correction."""
    gains = np.array([-1, -1, -1, -1, -1, -1, -1, -1, -0.2, 0.9, 0.9, 0.1]) / 10
    new = {name: (25.0 + float(gain), 0.4) for name, gain in zip(NAMES, gains, strict=True)}
    run = make_run("run", {("m", None): {name: (25.0, 0.4) for name in NAMES}, ("n", None): new})
    p = p_values(gains[:, None])[0]
    assert ALPHA / 2 < p < ALPHA
    for named, code in (("psnr", 1), ("psnr,lpips", 0)):
        found = srbench("compare", "m", "n", "--run", run, "--fail-if-worse", named)
        assert found.exit_code == code, found.output


@pytest.mark.parametrize(
    ("named", "says"),
    [
        ("psnr,lpip", ("--fail-if-worse: unknown metric 'lpip'; did you mean lpips? available: fid, lpips, "
"parameters, psnr, sigma.")),
        ("sigma", "--fail-if-worse: sigma has no better and worse; name a metric that has."),
        ("fid", ("--fail-if-worse: FID is one value of all images together, without a test; name a metric of single "
"images.")),
        ("parameters", ("--fail-if-worse: PARAMETERS is one value of the model, without a test; name a metric of "
"single images.")),
        ("", "Invalid value for '--fail-if-worse': a name is empty; separate names by single commas."),
    ],
)  # fmt: skip
def test_metrics_that_cannot_be_judged_are_usage_errors(make_run, srbench, named, says):
    metrics = [metric(name) for name in ("psnr", "lpips", "sigma")]
    metrics += [metric("fid", title="FID", direction=-1, per="set"), metric("parameters", direction=-1, per="model")]
    rows = {name: {"psnr": [20.0], "lpips": [0.5], "sigma": 1.0, "parameters": 5.0} for name in NAMES}
    run = make_run("run", {("m", None): rows, ("n", None): rows}, metrics=tuple(metrics))
    found = srbench("compare", "m", "n", "--run", run, "--fail-if-worse", named)
    assert found.exit_code == 2, found.output
    assert found.stderr.splitlines()[-1] == f"srbench: {says} See srbench compare --help."
    assert not (run / "compare").exists()


@pytest.mark.filterwarnings("ignore:Only metrics of both runs are compared")
@pytest.mark.parametrize(
    ("metrics", "named", "says"),
    [
        ((metric("psnr"),), "lpips", "LPIPS is not measured in new; measure it in both runs, under one signature"),
        (
            (metric("psnr"), metric("lpips", signature="LPIPS|vgg")),
            "psnr,lpips",
            "LPIPS vgg is not measured in released; measure it in both runs, under one signature",
        ),
    ],
)
def test_a_metric_of_one_run_alone_does_not_pass(make_run, srbench, metrics, named, says):
    """Nor a metric that the other run has under another signature."""
    released = make_run("released", {("net", None): values()})
    new = make_run("new", {("net", None): values(-0.5, 0.05)}, metrics=metrics)
    for runs in ((released, new), (new, released)):
        found = srbench("compare", *runs, "--fail-if-worse", named)
        assert found.exit_code == 2, found.output
    found = srbench("compare", released, new, "--fail-if-worse", named)
    assert found.stderr.splitlines()[-1] == f"srbench: --fail-if-worse: {says}. See srbench compare --help."
    assert not (new / "compare").exists()


@pytest.mark.parametrize(
    ("models", "lacking"),
    [
        ({("net", None): values(), ("flow", 0.8): values()}, None),
        ({("net", None): values(), ("flow", 0.8): values(), ("more", None): values()}, None),
        ({("net", None): values()}, "flow τ=0.8 of A ({a}) is"),
        ({("net", None): values(), ("renamed", 0.8): values()}, "flow τ=0.8 of A ({a}) is"),
        ({("net", None): values(), ("flow", 0.9): values()}, "flow τ=0.8 of A ({a}) is"),
        ({("net", None): values(), ("flow", 0.8): dict.fromkeys(NAMES, "out of memory")}, "flow τ=0.8 of A ({a}) is"),
        ({("net", None): values(0.5)}, "flow τ=0.8 of A ({a}) is"),
    ],
)
def test_a_model_that_b_lacks_does_not_pass(make_run, srbench, models, lacking):
    """Nor one that was renamed, has another temperature or failed everywhere; a model that only B has is no fault."""
    a, b = make_run("a", {("net", None): values(), ("flow", 0.8): values()}), make_run("b", models)
    found = srbench("compare", a, b, "--fail-if-worse", "psnr")
    assert found.exit_code == bool(lacking), found.output
    if lacking:
        says = f"srbench: {lacking.format(a=a)} not in B ({b}), which cannot pass without; measure the same models"
        assert found.stderr.splitlines()[-1].startswith(says)
        assert srbench("compare", a, b).exit_code == 0, "without a gate, the models that both have are compared"


def test_two_runs_of_one_model_each_may_name_it_differently(make_run, srbench):
    a, b = make_run("a", {("net", None): values()}), make_run("b", {("mine", None): values()})
    assert srbench("compare", a, b, "--fail-if-worse", "psnr").exit_code == 0


@pytest.mark.parametrize("lost", [math.nan, -math.inf, None])
def test_a_new_model_without_values_does_not_pass(make_run, srbench, lost):
    new = values(-0.5) | {NAMES[3]: "out of memory" if lost is None else (lost, 0.4)}
    run = make_run("run", {("m", None): values(), ("n", None): new})
    found = srbench("compare", "m", "n", "--run", run, "--fail-if-worse", "psnr")
    assert found.exit_code == 1
    says = "srbench: B (n) has no finite PSNR on 1 image on which A (m) has one (03); without them it cannot pass"
    assert found.stderr.splitlines()[-1] == says
    assert srbench("compare", "n", "m", "--run", run, "--fail-if-worse", "psnr").exit_code == 0, "the old one's fault"


def test_a_perfect_output_is_no_missing_value(make_run, srbench):
    run = make_run("run", {("m", None): values(), ("n", None): values(0.5) | {NAMES[3]: (math.inf, 0.4)}})
    assert srbench("compare", "m", "n", "--run", run, "--fail-if-worse", "psnr").exit_code == 0


def test_a_gate_that_could_never_fail_is_refused(make_run, srbench):
    """Six images allow a p of 2 / 2^6 = .031: enough for one metric, too much for two."""
    old, new = values(names=NAMES[:6]), {name: (p - 9, q + 0.3) for name, (p, q) in values(names=NAMES[:6]).items()}
    run = make_run("run", {("m", None): old, ("n", None): new})
    found = srbench("compare", "m", "n", "--run", run, "--fail-if-worse", "psnr,lpips")
    assert found.exit_code == 1
    says = "srbench: A (m) and B (n) have PSNR on 6 images; a verdict in 2 tests needs at least 7 images"
    assert found.stderr.splitlines()[-1] == says
    assert " is significantly worse" in srbench("compare", "m", "n", "--run", run, "--fail-if-worse", "psnr").stdout


@pytest.mark.parametrize(("images", "fails"), [(14, None), (16, True), (22, True)])
def test_500_tests_can_fail(images, fails):
    """A hundred checkpoints in five metrics: 9999 flips have a smallest p of 500 / 10000, which fails nothing."""
    noise = np.random.default_rng(0).normal(0, 1, images)
    names = [f"{image:02}" for image in range(images)]
    worse, same = (
        difference_of(
            dict.fromkeys(names, 6.0), dict(zip(names, shift + noise, strict=True)), metric("psnr"), Values({}, {})
        )
        for shift in (0, 6)
    )
    assert losses([worse, *[same] * 499], 500) == [worse] * (fails or 0)
    assert (fewest_units(500) <= images) == bool(fails), "fewer images are refused"


def test_a_clip_that_the_new_model_lacks_does_not_pass(make_run, srbench):
    """Nor one whose value failed: ``tLP`` has a value for each clip, none for an image."""
    clips = {f"{clip}-{frame}": f"clip {clip}" for clip in range(8) for frame in range(2)}
    tlp = metric("tlp", direction=-1, per="group")
    row = {name: {"tlp": 1.0 + int(name[0]) / 10} for name in clips}

    def run(name, lost=()):
        kept = {image: value for image, value in row.items() if clips[image] not in lost}
        return make_run(name, {("net", None): kept}, metrics=(tlp,), groups=clips, images=tuple(clips))

    whole = run("whole")
    assert srbench("compare", whole, run("same"), "--fail-if-worse", "tlp").exit_code == 0
    found = srbench("compare", whole, run("less", ["clip 3"]), "--fail-if-worse", "tlp")
    assert found.exit_code == 1
    assert "has no finite TLP on 1 group on which A (net) has one (clip 3); without them it cannot pass" in found.stderr


@pytest.mark.parametrize("tests", [1, 2, 3, 6, 20])
def test_the_fewest_images_are_those_of_which_all_have_one_sign(tests):
    for images, enough in ((fewest_units(tests) - 1, False), (fewest_units(tests), True)):
        p = p_values(np.arange(1, images + 1)[:, None])[0]
        assert (p * tests < ALPHA) == enough


def share_of_alarms(images: int, draws: int = 400, *, is_skewed: bool = False) -> float:
    """How often a gate of three metrics fails two equally good models, whose metrics correlate (r = .5).

    If skewed, B is slightly worse on most images, and much better on few.
    """
    random, alarms = np.random.default_rng(images), 0

    def drawn() -> np.ndarray:
        return 1 - random.exponential(1, images) if is_skewed else random.normal(0, 1, images)

    metrics = [metric("psnr"), metric("ssim"), metric("lpips")]
    for _ in range(draws):
        common = drawn()
        differences = []
        for each in metrics:
            change = each.direction * (common + drawn()) / math.sqrt(2)
            row = {f"{k:03}": value for k, value in enumerate(change.tolist())}
            differences.append(difference_of(row, dict.fromkeys(row, 0.0), each, Values({}, {})))
        alarms += bool(losses(differences, len(metrics)))
    return alarms / draws


@pytest.mark.parametrize("images", [8, 22, 100])
def test_equal_models_seldom_fail(images, monkeypatch):
    monkeypatch.setattr(statistics, "FLIPS", 999)
    share = share_of_alarms(images)
    assert share <= 0.07
    documented = re.search(r"fail (\S+) % with 8\s+images, (\S+) % with 22 and (\S+) % with 100", PAGE.read_text())
    stated = dict(zip((8, 22, 100), map(float, documented.groups()), strict=True))
    assert 100 * share == pytest.approx(stated[images], abs=0.3)


def test_equal_models_of_skewed_differences_fail_as_often_as_documented(monkeypatch):
    monkeypatch.setattr(statistics, "FLIPS", 999)
    share = share_of_alarms(22, is_skewed=True)
    (documented,) = re.findall(
        r"\(exponential\s+differences\), (\S+) % fail with 22 images", " ".join(PAGE.read_text().split())
    )
    assert 100 * share == pytest.approx(float(documented), abs=0.6)
