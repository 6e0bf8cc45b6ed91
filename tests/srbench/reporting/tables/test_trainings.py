"""The curve of a training: its points, the best step by each metric, the metrics that agree, and what a report says."""

from __future__ import annotations

import math
import re
from dataclasses import replace

import pytest
from builders import metric, model_facts, values_of

from srbench.models import Checkpoint
from srbench.reporting.figures.plots import write_plots
from srbench.reporting.generated_folder import replacing
from srbench.reporting.tables.table import table_of
from srbench.reporting.tables.trainings import SELECTION, agreement, best_steps, best_table, curves_of
from srbench.reporting.writers.report import head, write_report
from srbench.run_folder.protocol import Setting

METRICS = [metric("psnr"), metric("lpips"), metric("sigma"), metric("fid", direction=-1, per="set", title="FID")]
STEPS = {100: (20.0, 0.5), 50: (19.0, 0.4), 200: (22.0, 0.3), 150: (21.0, 0.6)}
"""PSNR and LPIPS by step."""
IMAGES = 8


@pytest.fixture
def table(make_row):
    """table({"mine": STEPS}): a table of trainings beside another model, with the FID of every row."""

    def call(trainings, images=IMAGES, temperatures=(None,), runs=("",)):
        rows, models, fids = [], [model_facts("other")], {}
        for image in range(images):
            rows.append(make_row("other", None, str(image), {"psnr": [25.0], "lpips": [0.2], "sigma": 0.0}))
        for training, steps in trainings.items():
            for run in runs:
                for step, (psnr, lpips) in steps.items():
                    label = f"{training}-{step}{run}"
                    models.append(model_facts(label, checkpoint=Checkpoint(training, step)))
                    for temperature in temperatures:
                        fids[Setting(label, temperature)] = {"fid": float(step)}
                        for image in range(images):
                            # images differ by far, and between steps in the same way but for the first
                            values = psnr + 3 * image + 0.01 * (image == step / 50), lpips + image / 50
                            found = {"psnr": [values[0]], "lpips": [values[1]], "sigma": step / 100}
                            rows.append(make_row(label, temperature, str(image), found))
        fids[Setting("other", None)] = {"fid": 1.0}
        return table_of(values_of(rows, METRICS, fids), METRICS, models)

    return call


def test_a_curve_has_the_checkpoints_of_a_training_by_rising_step(table):
    made = table({"mine": STEPS, "two": {1: (20.0, 0.5), 2: (21.0, 0.4)}})
    [curve] = curves_of(made)
    assert (curve.label, curve.steps) == ("mine", (50, 100, 150, 200))
    assert [made.lines[row].label for row in curve.rows] == ["mine-50", "mine-100", "mine-150", "mine-200"]
    assert [made.lines[row].cells["psnr"].mean for row in curve.rows] == pytest.approx(
        [29.5, 30.5, 31.5, 32.5], abs=0.1
    )
    assert [line.label for line in made.models] == ["other", "mine-200", "two-2"]


def test_temperatures_and_runs_have_curves_of_their_own(table):
    assert [curve.label for curve in curves_of(table({"m": STEPS}, temperatures=(0.5, 0.8)))] == ["m τ=0.5", "m τ=0.8"]
    made = table({"m": STEPS}, runs=(" @ monday", " @ friday"))
    assert [curve.label for curve in curves_of(made)] == ["m @ monday", "m @ friday"]
    assert [line.label for line in made.models] == ["other", "m-200 @ monday", "m-200 @ friday"]


def test_the_best_step_by_each_metric(table):
    made = table({"mine": STEPS})
    [curve] = curves_of(made)
    best = best_steps(made, curve, METRICS)
    assert {name: found.row and curve.step(found.row) for name, found in best.items()} == {
        "psnr": 200,
        "lpips": 200,
        "sigma": None,
        "fid": 50,
    }
    assert best["psnr"].alike == best["lpips"].alike == []
    assert best["fid"].alike is None, "one value permits no test"
    few = table({"mine": STEPS}, images=5)
    assert best_steps(few, curves_of(few)[0], METRICS)["psnr"].alike is None, "nor do five images"


def test_metrics_agree_if_they_order_steps_alike(table):
    psnr, lpips, sigma, fid = METRICS
    made = table({"mine": STEPS})
    [curve] = curves_of(made)
    assert agreement(made, curve, psnr, psnr) == 1
    assert agreement(made, curve, psnr, fid) == -1, "a higher FID is worse"
    assert agreement(made, curve, psnr, lpips) == pytest.approx(0), "of six pairs of steps, three agree"
    assert math.isnan(agreement(made, curve, psnr, sigma)), "which has no direction"
    rows = best_table(made, [curve], METRICS, [best_steps(made, curve, METRICS)])
    assert rows == [
        ["metric", "best step", "mean", "not significantly worse", "most alike", "least alike"],
        ["PSNR", "200", "32.50", "none", "LPIPS 0.00", "FID -1.00"],
        ["LPIPS", "200", "0.370", "none", "PSNR 0.00", "FID 0.00"],
        ["FID", "50", "50.00", "–", "LPIPS 0.00", "PSNR -1.00"],
    ]


def test_steps_that_are_not_significantly_worse_are_named(table):
    made = table({"mine": {10: (20.0, 0.5), 20: (20.0, 0.5), 30: (19.0, 0.5), 40: (18.0, 0.5)}})
    [curve] = curves_of(made)
    rows = best_table(made, [curve], METRICS[:1], [best_steps(made, curve, METRICS[:1])])
    assert rows[1] == ["PSNR", "10", "30.50", "20", "–", "–"]
    equal = table({"mine": dict.fromkeys((50, 100, 150), (20.0, 0.5))})
    [curve] = curves_of(equal)
    assert best_table(equal, [curve], METRICS[1:2], [best_steps(equal, curve, METRICS[1:2])])[1][3] == "all"


@pytest.fixture
def plotted(tmp_path):
    def call(table):
        with replacing(tmp_path / "run") as draft:
            plots = {plot.file: plot for plot in write_plots(table, [], draft)}
        return plots, {path.name: path.read_text() for path in (tmp_path / "run/plots").iterdir()}

    return call


def test_the_plot_marks_the_best_step_of_every_metric_with_a_direction(table, plotted):
    plots, files = plotted(table({"mine": STEPS}))
    text = files["checkpoints.svg"]
    assert len(re.findall(r'<g id="axes_\d+">', text)) == 4, "PSNR, LPIPS, sigma, FID"
    assert len(re.findall(r'<use [^>]*style="fill-opacity: 0; stroke: #1b1b1a"', text)) == 3, "no ring for sigma"
    caption = plots["checkpoints.svg"].caption
    assert SELECTION in caption
    assert "with 95 % intervals of the means, not of differences, as bands" in caption
    assert "lines join the temperatures of a model, and the steps of a training" in plots["plane.svg"].caption
    assert "temperature.svg" not in plots
    [line] = [line for line in plots["plane.svg"].draw().axes[0].lines if line.get_label() == "mine"]
    assert len(line.get_xdata()) == 4
    for name in ("differences.svg", "distributions.svg"):
        assert "#d55e00" in files[name]
        assert "#009e73" not in files[name], "all checkpoints have one colour"
    assert next(iter(plots)) == "checkpoints.svg"


def test_fewer_than_three_checkpoints_make_no_curve(table, plotted):
    plots, _ = plotted(table({"mine": {50: (20.0, 0.5), 100: (21.0, 0.4)}}))
    assert "checkpoints.svg" not in plots
    assert "steps of a training" not in plots["plane.svg"].caption


def test_a_curve_of_few_images_has_no_bands_and_no_verdicts(table, plotted):
    plots, files = plotted(table({"mine": STEPS}, images=4))
    assert "95 %" not in plots["checkpoints.svg"].caption
    assert [row[3] for row in plots["checkpoints.svg"].table[1:]] == ["–", "–", "–"]
    assert "nan" not in files["checkpoints.svg"].lower()


@pytest.mark.usefixtures("with_plots")
def test_a_report_shows_curve_table_and_sentence_and_its_title_names_the_training(make_run):
    labels = {f"mine-{step}": step for step in range(10, 110, 10)}
    rows = {
        (label, None): {f"i{image}": {"psnr": [20.0 + step + image], "lpips": [0.5 - step / 500]} for image in range(8)}
        for label, step in labels.items()
    }
    run = make_run(
        "long training",
        rows,
        images=[f"i{image}" for image in range(8)],
        metrics=(metric("psnr"), metric("lpips")),
        settings=[(label, None) for label in labels],
        models={label: {"checkpoint": Checkpoint("mine", step)} for label, step in labels.items()},
    )
    write_report([run])
    markdown, page = ((run / "report" / name).read_text() for name in ("report.md", "report.html"))
    assert markdown.startswith("# Super-resolution 4x: mine\n")
    assert "<title>Super-resolution 4×: mine</title>" in page
    for text in (markdown, page):
        assert SELECTION in text
        assert text.count("checkpoints.svg") == 1
    assert re.search(r"\| PSNR +\| +100 \| +123.50 \| +none \|", markdown)
    assert '<th scope="row">PSNR</th><td>100</td><td>123.50</td><td>none</td>' in page


@pytest.mark.parametrize(("number", "title"), [(9, ", ".join(f"m{place}" for place in range(9))), (10, "many")])
def test_the_title_of_a_report_of_ten_models_is_that_of_its_folder(make_run, number, title):
    values = {(f"m{place}", None): {"a": {"psnr": 20.0 + place}} for place in range(number)}
    run = make_run("many", values, metrics=(metric("psnr"),))
    assert head(run).startswith(f"# Super-resolution 4x: {title}\n")


def test_steps_are_tested_over_groups_if_means_are(table):
    made = table({"mine": STEPS}, images=12)
    [curve] = curves_of(made)
    alike = {}
    for size in (1, 2, 3):
        unit_of = {str(image): f"group {image // size}" for image in range(12)}
        by_group = replace(made, values=replace(made.values, unit_of=unit_of))
        alike[size] = best_steps(by_group, curve, METRICS)["psnr"].alike
    assert alike[1] == best_steps(made, curve, METRICS)["psnr"].alike == []
    assert alike[2] is not None, "six groups"
    assert alike[3] is None, "four groups decide nothing"
