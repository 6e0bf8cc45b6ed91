from __future__ import annotations

import math
import re
import xml.etree.ElementTree as ET
from dataclasses import replace

import matplotlib
import pytest
from builders import metric, model_facts, values_of
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.transforms import Bbox

from srbench.interfaces import WeightsInfo
from srbench.models import Checkpoint
from srbench.pages.plot_style import plot_style
from srbench.reporting.figures.plots import _plane, write_plots
from srbench.reporting.generated_folder import replacing
from srbench.reporting.tables.table import table_of

METRICS = [metric("psnr"), metric("lpips"), metric("lr_psnr")]
HOSTILE = r"</svg><script>alert(1)</script> $\frac{-- >]]> & é 漢"


def model(label, losses):
    weights = None if losses is None else WeightsInfo(label, "CC0-1.0", "flowers", 3, losses)
    return model_facts(label, weights=weights)


@pytest.fixture
def rows(make_row):
    def call(*settings, images=4, psnr=20.0):
        return [
            make_row(
                model,
                temperature,
                str(k),
                {
                    "psnr": [psnr + place + k] * 2,
                    "lpips": [0.5 - place / 10 + k / 50] * 2,
                    "lr_psnr": [40.0 + k] * 2,
                },
                seconds=0.1 + place,
            )
            for place, (model, temperature) in enumerate(settings)
            for k in range(images)
        ]

    return call


@pytest.fixture
def written(tmp_path):
    def call(rows, metrics=METRICS, models=(), folder="run", baseline=0):
        table = table_of(values_of(rows, metrics), metrics)
        with replacing(tmp_path / folder) as draft:
            plots = write_plots(table, models, draft, baseline)
        files = {path.name: path.read_text() for path in (tmp_path / folder / "plots").iterdir()}
        assert sorted(files) == sorted(plot.file for plot in plots)
        for text in files.values():
            assert ET.fromstring(text).tag.endswith("svg")
        return files

    return call


def test_what_is_plotted(written, rows):
    every = {"differences.svg", "plane.svg", "consistency.svg", "distributions.svg"}
    more = {"temperature.svg", "agreement.svg"}
    assert set(written(rows(("m", None), ("flow", 0.0), ("flow", 0.8)))) == every | more
    assert set(written(rows(("m", None), ("flow", 0.8)))) == every, "the old one is removed"
    assert set(written(rows(("m", None)))) == {"distributions.svg"}, "one model has nothing to be compared with"
    assert set(written(rows(("m", None), ("n", None)), METRICS[2:])) == {"distributions.svg"}, "no difference to show"
    assert set(written(rows(("m", None), ("flow", 0.8), images=1))) == every - {"distributions.svg"}


def axes_of(text):
    return len(re.findall(r'<g id="axes_\d+">', text))


def test_panels_in_which_nothing_differs_are_dropped(written, rows):
    files = written(rows(("m", None), ("flow", 0.0), ("flow", 0.8)))
    assert axes_of(files["differences.svg"]) == 2, "LR-PSNR is the same of all"
    assert axes_of(files["temperature.svg"]) == 2
    assert axes_of(files["distributions.svg"]) == 3


def test_differences_are_filled_where_the_images_decide(written, rows):
    def filled(images):
        metrics = METRICS[:1]
        text = written(rows(("m", None), ("n", None), images=images), metrics)["differences.svg"]
        return "fill: #d55e00" in text

    assert filled(6)
    assert not filled(5), "hollow: five images decide nothing"


@pytest.mark.parametrize("images", [1, 5, 6])
def test_images_too_few_for_an_interval_are_dots_and_no_caption_speaks_of_one(rows, tmp_path, images):
    measured = rows(("m", None), ("flow", 0.0), ("flow", 0.8), images=images)
    with replacing(tmp_path / "run") as draft:
        made = write_plots(table_of(values_of(measured, METRICS[:2]), METRICS[:2]), [], draft)
    plots = {plot.file: plot.caption for plot in made}
    expected = {"differences.svg", "plane.svg", "temperature.svg", "agreement.svg"}
    expected |= {"distributions.svg"} if images > 1 else set()
    assert set(plots) == expected
    for name, caption in plots.items():
        assert ("95 %" in caption) == (images == 6 and name != "agreement.svg")
        assert "nan" not in (tmp_path / "run" / "plots" / name).read_text().lower()
    assert ("a dot is an image" in plots["differences.svg"]) == (images < 6)
    if images > 1:
        assert plots["distributions.svg"].startswith("A dot is" if images < 6 else "A stroke is")


def test_the_baseline_is_chosen(written, rows):
    measured = rows(("m", None), ("n", None), ("flow", 0.8))
    first, last = written(measured), written(measured, baseline=2)
    assert first["differences.svg"] != last["differences.svg"]
    assert first["plane.svg"] == last["plane.svg"]


def test_the_same_bytes_whatever_the_users_settings(written, rows):
    settings = ("m", None), ("flow", 0.0), ("flow", 0.8)
    first = written(rows(*settings))
    with matplotlib.rc_context({"font.size": 20, "lines.linewidth": 9, "svg.hashsalt": None}):
        assert written(rows(*settings)) == first
        assert matplotlib.rcParams["font.size"] == 20, "and they are left alone"
    assert not re.search(r"\d{4}-\d\d-\d\d", first["plane.svg"]), "no date"


COSTS = {"free": 0.0, "small": 1.0, "large": 40.0}
PARAMETERS = metric("parameters", group="Cost", direction=0, protocol="number of learned parameters")
RUNTIME = metric("runtime", group="Cost", direction=0)


def plots_with_costs(make_row, folder, names=COSTS, machines=("abacus, cpu",), images=6):
    measured = [
        make_row(name, None, str(k), {"psnr": [20.0 + place + k], "parameters": [COSTS[name]]})
        for place, name in enumerate(names)
        for k in range(images)
    ]
    table = table_of(values_of(measured, [metric("psnr"), PARAMETERS]), [metric("psnr"), PARAMETERS])
    with replacing(folder) as draft:
        return {plot.file: plot for plot in write_plots(table, [], draft, machines=machines)}


def test_quality_is_plotted_against_the_first_cost(make_row, tmp_path):
    plot = plots_with_costs(make_row, tmp_path / "run")["cost.svg"]
    assert "number of learned parameters" in plot.caption
    assert "on abacus, cpu" in plot.caption
    assert "float32" in plot.caption
    assert plot.caption.count("95 %") == 1
    assert "because the axis is logarithmic and the cost is 0: free." in plot.caption
    axes = plot.draw().axes[0]
    assert axes.get_xscale() == "log"
    assert [list(line.get_xdata()) for line in axes.lines if line.get_label() in COSTS] == [[1.0], [40.0]]
    assert [text.get_text() for text in axes.texts] == ["better", "small", "large"]


def test_a_cost_without_two_models_or_of_two_machines_is_not_plotted(make_row, tmp_path):
    assert "cost.svg" not in plots_with_costs(make_row, tmp_path / "one", ["free", "small"])
    assert "cost.svg" not in plots_with_costs(make_row, tmp_path / "two", machines=("abacus, cpu", "card, cuda"))


def test_costs_are_no_panel_of_the_temperature(written, rows):
    measured = rows(("flow", 0.0), ("flow", 0.8))
    with_cost = [replace(row, values=row.values | {"runtime": [row.setting.temperature + 1.0] * 2}) for row in measured]
    assert axes_of(written(with_cost, [*METRICS, RUNTIME])["temperature.svg"]) == 2


def test_values_that_are_not_finite_leave_no_mark(written, rows):
    good = rows(("m", None), ("flow", 0.0), ("flow", 0.8))
    bad = rows(("equal", None), psnr=math.inf)
    with_bad = written(good + bad)
    assert "nan" not in with_bad["plane.svg"].lower()
    assert with_bad["plane.svg"].count("<use") < written(good + rows(("equal", None)))["plane.svg"].count("<use")


def test_losses_are_plotted_where_weights_carry_them(written, rows):
    bare, old = model("m", None), model("n", {})
    trained = model("flow", {"nll": [3.0, 1.0, 0.5], "gradient": [9.0]})
    measured = rows(("m", None))
    assert "training.svg" not in written(measured, models=[bare, old])
    with_curve = written(measured, models=[bare, old, trained])["training.svg"]
    other = model("flow", {"nll": [3.0, 1.5, 0.5], "gradient": [9.0]})
    assert with_curve != written(measured, models=[other])["training.svg"]
    projected = replace(trained, label="flow+consistent", projected=True)
    assert with_curve == written(measured, models=[bare, old, trained, projected])["training.svg"], "the same weights"


def test_losses_of_a_training_are_those_of_its_last_checkpoint(written, rows):
    first, last = model("mine-1", {"nll": [3.0, 1.0]}), model("mine-2", {"nll": [3.0, 1.0, 0.5]})
    parts = [replace(each, checkpoint=Checkpoint("mine", step)) for step, each in enumerate((first, last), 1)]
    measured = rows(("m", None))
    assert axes_of(written(measured, models=[first, last])["training.svg"]) == 2
    assert written(measured, models=parts)["training.svg"] == written(measured, models=[last])["training.svg"]


def test_names_of_users_stay_text_and_plots_are_transparent_themed_and_legible(written, rows):
    hostile = model(HOSTILE, {HOSTILE: [1.0, 0.5]})
    for text in written(rows((HOSTILE, None), ("flow", 0.0), ("flow", 0.8)), models=[hostile]).values():
        assert "<script" not in text
        assert {child.tag.rpartition("}")[2] for child in ET.fromstring(text)} <= {"metadata", "defs", "g"}
        assert "fill: #ffffff" not in text
        assert "@media (prefers-color-scheme: dark)" in text
        scales = [float(scale) for scale in re.findall(r"scale\((0\.\d+) -", text)]
        assert min(scale * 100 * 4 / 3 for scale in scales) >= 10.95, "pixels: glyphs are drawn at 100 points"


def test_no_text_is_cut_off(written, rows):
    names = [f"a-model-with-quite-a-long-name-{number}" for number in range(6)]
    models = [model(name, {"nll": [3.0, 1.0]}) for name in names]
    measured = rows(*((name, temperature) for name in names for temperature in (0.5, 0.85)))
    for name, text in written(measured, models=models).items():
        width = float(re.search(r'viewBox="0 0 ([\d.]+) ', text)[1])
        texts = re.findall(r"translate\((-?[\d.]+) [-\d.]+\) scale\(([\d.]+) -[\d.]+\)\">(.*?)</g>", text, re.DOTALL)
        ends = [
            float(re.findall(r'translate\(([\d.]+) 0\)"/>', glyphs)[-1]) if "translate" in glyphs else 0.0
            for _, _, glyphs in texts
        ]
        assert len(texts) > 5
        for (left, scale, _), end in zip(texts, ends, strict=True):
            assert 0 <= float(left) <= float(left) + float(scale) * end <= width, name


def test_bars_do_not_cross_names_and_axes_have_no_offset(make_row):
    """Six images, so that means have bars; all PSNR lie within .0003 dB."""
    found = [
        make_row(name, None, str(k), {"psnr": 26.74 + place / 1e4 + k / 1e6, "lpips": 0.5 - place / 10 + k / 20})
        for place, name in enumerate(("bicubic", "rrdb", "esrgan"))
        for k in range(6)
    ]
    table = table_of(values_of(found, METRICS[:2]), METRICS[:2])
    with plot_style():
        figure = _plane(table, *METRICS[:2])
        canvas = FigureCanvasAgg(figure)
        canvas.draw()
        [axes] = figure.axes
        segments = [axes.transData.transform(segment) for lines in axes.collections for segment in lines.get_segments()]
        for name in axes.texts[1:]:
            box = name.get_window_extent(canvas.get_renderer())
            for (left, low), (right, high) in segments:
                assert not box.overlaps(Bbox.from_extents(left, low, right + 0.1, high + 0.1)), name.get_text()
        ticks = [text.get_text() for text in axes.get_xticklabels()]
    assert axes.xaxis.get_major_formatter().get_offset() == ""
    assert all(text.startswith("26.7") for text in ticks), "as they are, not as differences from 26.74"


def test_rows_projected_onto_lr_are_not_drawn_beside_consistency(make_row):
    names = ("bicubic", "rrdb", "flow")
    found = [
        make_row(name, None, str(k), {"lr_psnr": 40.0 + place, "lpips": 0.5 - place / 10 + k / 20})
        for place, name in enumerate(names)
        for k in range(6)
    ]
    facts = [replace(model_facts(name), projected=name == "flow") for name in names]
    consistency = metric("lr_psnr", is_primary=True)
    table = table_of(values_of(found, [METRICS[1], consistency]), [METRICS[1], consistency], facts)
    with plot_style():
        [axes] = _plane(table, consistency, METRICS[1]).axes
    assert [text.get_text() for text in axes.texts] == ["better", "bicubic", "rrdb"]


def test_a_figure_is_drawn_once(written, rows, monkeypatch):
    drawn = []
    draw = Figure.draw
    monkeypatch.setattr(Figure, "draw", lambda figure, renderer: drawn.append(figure) or draw(figure, renderer))
    monkeypatch.setattr(Figure, "draw_without_rendering", lambda figure: drawn.append(figure))
    files = written(rows(("m", None), ("flow", 0.0), ("flow", 0.8)))
    assert len(drawn) == len(files)
    assert not any(figure.get_layout_engine() for figure in drawn), "a layout measures all text, so it is drawn twice"


def test_plots_over_groups_are_those_of_their_means(make_row, tmp_path):
    """Differences and distributions of six groups of two images are drawn like six images."""

    def plotted(values, unit_of):
        measured = [
            make_row(label, None, image, {"psnr": [value + shift * value**2 / 400]})
            for label, shift in {"m": 0, "n": 1}.items()
            for image, value in values.items()
        ]
        with replacing(tmp_path / "run") as draft:
            plots = write_plots(table_of(values_of(measured, METRICS[:1], unit_of=unit_of), METRICS[:1]), [], draft)
            return [(plot.file, plot.title, plot.caption, draft.read(f"plots/{plot.file}")) for plot in plots]

    pairs = {f"{k}{end}": 20.0 + k + step for k in range(6) for end, step in {"a": 0, "b": 0}.items()}
    of_groups = plotted(pairs, {image: image[0] for image in pairs})
    of_images = plotted({str(k): 20.0 + k for k in range(6)}, {})
    assert [plot[3] for plot in of_groups] == [plot[3] for plot in of_images]
    assert [plot[3] for plot in plotted(pairs, {})] != [plot[3] for plot in of_images], "twelve images are others"
    assert [plot[0] for plot in of_groups] == ["differences.svg", "distributions.svg"]
    assert of_groups[1][1:3] == (
        "All groups",
        "A stroke is the mean of a group; the marker is the mean, with its 95 % interval.",
    )
