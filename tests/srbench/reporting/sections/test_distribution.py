"""The section of a report on samples as a distribution."""

from __future__ import annotations

import math
import shutil

import pytest
import torch
from builders import drawn, metric

from srbench.images.io import write_png
from srbench.interfaces import ImagePair
from srbench.judging.sentences import spread_sentences
from srbench.judging.verdicts import Calibration
from srbench.metrics.calibration import psnr_of_mean, rank_histogram, spread_and_error
from srbench.metrics.ntire import Diversity
from srbench.metrics.proper_scores import lpips_energy, pairwise_lpips
from srbench.reporting.figures.sample_plots import plots_of_samples
from srbench.reporting.figures.saved_samples import Curves, Sampler, SavedImage, saved_image
from srbench.reporting.results import read_results
from srbench.reporting.sections.distribution import sentences_on_spread
from srbench.reporting.tables.table import table_of_runs
from srbench.reporting.writers.check import report_findings
from srbench.reporting.writers.report import write_report
from srbench.run_folder.protocol import Setting

SCORES = (
    metric("crps", direction=-1, title="CRPS", per="image"),
    metric("lpips_energy", direction=-1, digits=3, title="LPIPS energy", per="image"),
)
IMAGES = tuple(f"i{place}" for place in range(6))
TITLE = "Samples as a distribution"


@pytest.fixture
def sampled(make_run):
    """A run of two samplers at temperatures and of a model with one output; ``samples`` are drawn of every image."""

    def call(scores, samples=5, images=IMAGES, **options):
        values = {
            setting: {
                image: {
                    "psnr": [20.0 + place] * (samples if setting[1] is not None else 1),
                    "crps": crps + place / 10 + (0.01 if place % 2 else 0.02) * (setting[1] or 0),
                    "lpips_energy": crps / 20 + place / 100,
                }
                for place, image in enumerate(images)
            }
            for setting, crps in scores.items()
        }
        return make_run("run", values, metrics=(metric("psnr"), *SCORES), protocol={"samples": samples}, **options)

    return call


THREE = {("one", None): 12.0, ("flow", 0.5): 9.0, ("flow", 0.8): 8.0}


def texts(run):
    return [(run / "report" / name).read_text() for name in ("report.md", "report.html")]


def section(run):
    markdown = texts(run)[0]
    return markdown[markdown.index(f"## {TITLE}") :].split("\n## ")[0]


def test_the_numbers_of_an_image_are_those_of_the_metrics(tmp_path):
    hr, samples = drawn(9, 64, 72), torch.stack([drawn(seed, 64, 72) for seed in range(3)])
    for place, image in enumerate([*samples, hr]):
        write_png(tmp_path / f"{place}.png", image)
    files = [tmp_path / f"{place}.png" for place in range(3)]
    found = saved_image(files, tmp_path / "3.png", has_curves=True, lpips=True)
    assert found.ranks == rank_histogram(samples, hr).tolist()
    assert (found.spread, found.error) == spread_and_error(samples, hr)
    distances = pairwise_lpips(samples, hr)
    pair = ImagePair("", hr=hr / 255)
    for n in (1, 2, 3):
        assert found.curves.psnr[n - 1] == psnr_of_mean(samples[:n], hr)
        assert found.curves.energy[n - 1] == pytest.approx(lpips_energy(distances[: n + 1, : n + 1]), abs=1e-6)
        assert found.curves.diversity[n - 1] == pytest.approx(float(Diversity().values(samples[:n], pair)), abs=1e-4)
    assert found.curves.energy[2] < found.curves.energy[0], "two samples and three subtract distances between samples"


def test_a_mean_equal_to_hr_and_images_too_small_for_lpips_have_no_value(tmp_path):
    for place in range(2):
        write_png(tmp_path / f"{place}.png", drawn(0, 24, 24))
    found = saved_image([tmp_path / "0.png"] * 2, tmp_path / "1.png", has_curves=True, lpips=True)
    assert found.curves == Curves([None, None], [], [])
    assert saved_image([tmp_path / "0.png"] * 2, tmp_path / "1.png", has_curves=False, lpips=True).curves is None


def test_a_report_without_scores_of_samples_has_no_section(make_run):
    run = make_run("run", {("m", 0.8): {"a": ([20.0, 21.0], [0.3, 0.4])}})
    write_report([run])
    assert all(TITLE not in text for text in texts(run))
    assert not (run / "report/samples").exists()


@pytest.mark.usefixtures("with_plots")
def test_the_section_has_sentences_and_plots_in_markdown_and_on_the_page(sampled):
    run = sampled(THREE)
    write_report([run])
    shown = section(run)
    head = texts(run)[0].split("\n\n")[1]
    assert head.startswith("- Lowest CRPS, comparing one row per model: flow τ=0.8 at 8.26")
    assert "\n- Lowest LPIPS energy, comparing one row per model: flow τ=0.8 at 0.425" in head
    assert all("Lowest CRPS" not in text.split(f">{TITLE}<")[-1] for text in (shown, texts(run)[1])), "it is said once"
    assert "- Temperature with the lowest CRPS: 0.8 for flow (of 0.5 and 0.8)." in shown
    assert "- Samples spread less than the error of their mean" in shown
    assert "flow τ=0.5 0.03 (0.03–0.03) and flow τ=0.8 0.02 (0.02–0.02)" in shown, "samples 70 to 74, 100 to 104; HR 20"
    plots = ["scores.svg", "ranks.svg", "numbers.svg"]
    assert [name for name in plots if f"(plots/{name})" in shown] == plots
    page = texts(run)[1]
    inside = page[page.index('<section id="samples"') :].split("</section>")[0]
    assert [name for name in plots if f'src="plots/{name}"' in inside] == plots
    assert '<a href="#samples">Samples</a>' in page
    assert report_findings(run) == []


def test_numbers_of_samples_are_computed_once_and_the_report_is_the_same(sampled, monkeypatch):
    run = sampled(THREE)
    write_report([run])
    before = texts(run)
    files = sorted(path.relative_to(run / "report/samples").as_posix() for path in run.glob("report/samples/*/*"))
    assert files == [f"flow-t{temperature}/{image}.json" for temperature in ("0.5", "0.8") for image in IMAGES]
    with monkeypatch.context() as patch:
        patch.setattr(
            "srbench.reporting.figures.saved_samples.saved_image",
            lambda *given, **options: pytest.fail("computed again"),
        )
        write_report([run], intervals=True)
    shutil.rmtree(run / "report")
    write_report([run])
    assert texts(run) == before


@pytest.mark.parametrize("content", ["{", '{"ranks": [NaN]}', "[" * 100_000])
def test_damaged_numbers_are_computed_again(sampled, content):
    run = sampled(THREE)
    write_report([run])
    (run / "report/samples/flow-t0.5/i0.json").write_text(content)
    assert [finding.where for finding in report_findings(run)] == ["report/samples/flow-t0.5/i0.json"]


def test_a_report_of_other_numbers_than_those_of_its_images_is_found(sampled, monkeypatch):
    run = sampled(THREE)
    with monkeypatch.context() as patch:
        made = SavedImage([1 / 6] * 6, 2e6, 1e6, None)
        patch.setattr("srbench.reporting.figures.saved_samples.saved_image", lambda *given, **options: made)
        write_report([run])
    assert "spread more" in section(run)
    assert [(finding.kind, finding.where) for finding in report_findings(run)] == [
        ("differs", "report/report.md"),
        ("differs", "report/report.html"),
    ]


def test_without_images_a_sentence_says_what_is_left_out(sampled):
    run = sampled(THREE)
    sorted(run.glob("images/flow-t0.5/i3*"))[-1].unlink()
    write_report([run])
    shown = section(run)
    assert (
        "- Spread/skill, rank histograms and curves of flow τ=0.5 are left out: they need HR and two or more" in shown
    )
    assert "flow τ=0.8 0.02" in shown
    assert "flow τ=0.5 0.0" not in shown


def test_fewer_samples_saved_than_drawn_are_stated(sampled):
    run = sampled({("flow", 0.8): 8.0}, samples=7)
    write_report([run])
    shown = section(run)
    assert "are of the saved samples of an image, the first 5 of 7." in shown
    assert "Lowest CRPS" not in shown, "there is one row"


def test_fewer_than_six_images_permit_no_verdict(sampled):
    run = sampled(THREE, images=IMAGES[:5])
    write_report([run])
    shown = section(run)
    assert "undecided, as a verdict needs 5 saved samples of an image, at least 6 images and" in shown
    assert "flow τ=0.5 0.03 and flow τ=0.8 0.02" in shown
    assert "spread less" not in shown


def test_temperatures_not_significantly_worse_are_named(sampled):
    run = sampled({("flow", 0.5): 8.0, ("flow", 0.8): 8.0, ("flow", 1.0): 9.0})
    write_report([run])
    shown = section(run)
    assert "Temperature with the lowest CRPS: 0.5 for flow (of 0.5, 0.8 and 1)." in shown
    assert "lowest LPIPS energy: 0.5 for flow (of 0.5, 0.8 and 1, not significantly lower than at 0.8)." in shown, (
        "equal values"
    )


def sampler(label, n, numbers, curves=None):
    images = {f"i{place}": SavedImage([1 / (n + 1)] * (n + 1), *each, curves) for place, each in enumerate(numbers)}
    return Sampler(Setting(label, 0.8), n, n, images)


def test_spread_is_less_than_the_error_or_more_or_neither(sampled):
    results = read_results([sampled(THREE)])
    errors = [90.0, 100.0, 110.0, 95.0, 105.0, 100.0, 99.0, 101.0]
    calibrated = [(5 / 6 * (200 - error), error) for error in errors]
    less, more = ([(factor * spread, error) for spread, error in calibrated] for factor in (0.25, 4))
    samplers = [sampler(name, 5, each) for name, each in (("few", less), ("much", more), ("right", calibrated))]
    assert list(sentences_on_spread(samplers, results.values)) == [
        "Samples spread less than the error of their mean (spread/skill with its 95 % interval, for all 3 rows "
        "together, below 1): few τ=0.8 0.50 (0.47–0.53).",
        "Samples spread more than the error of their mean (spread/skill with its 95 % interval, for all 3 rows "
        "together, above 1): much τ=0.8 2.00 (1.87–2.14).",
        "No difference of the spread of samples from the error of their mean is found, as for calibrated samples "
        "(spread/skill with its 95 % interval, for all 3 rows together, which contains 1): right τ=0.8 1.00 "
        "(0.94–1.07).",
    ]


def test_an_end_near_1_has_the_digits_that_bear_out_the_verdict():
    rows = [Calibration("low", 0.9, 0.8, 0.99996, "decided"), Calibration("even", 1.0, 0.9, 1.0, "undecided")]
    less, neither = spread_sentences(rows, "image")
    assert less.endswith("below 1): low 0.90 (0.80–0.99996).")
    assert neither.endswith("even 1.00 (0.90–1.00).")


def test_fewer_than_five_samples_permit_no_verdict(sampled):
    results = read_results([sampled(THREE)])
    few = sampler("few", 4, [(1.0, 100.0 + place) for place in range(8)])
    assert "few τ=0.8 0.11; undecided, as a verdict needs 5 saved samples" in next(
        iter(sentences_on_spread([few], results.values))
    )


def test_below_six_images_no_temperature_is_lowest(sampled):
    run = sampled(THREE, images=IMAGES[:4])
    write_report([run])
    assert ("- Temperature with the lowest CRPS: undecided for flow (of 0.5 and 0.8).") in section(run)


def test_an_unbounded_interval_permits_no_verdict(sampled):
    results = read_results([sampled(THREE)])
    wild = sampler("wild", 5, [(1.0, 1e6), *[(1.0, 1.0)] * 7])
    assert "wild τ=0.8 0.00; undecided" in next(iter(sentences_on_spread([wild], results.values)))


def test_curves_rise_as_those_of_a_calibrated_sampler(sampled):
    results = read_results([sampled(THREE)])
    calibrated = [20 + 10 * math.log10(2 * n / (n + 1)) for n in (1, 2, 3)]
    curves = Curves(calibrated, [0.0, 5.0, 8.0], [0.6, 0.4, 0.4])
    samplers = [sampler("right", 3, [(1.0, 1.0)] * 2, curves)]
    plots = {plot.file: plot for plot in plots_of_samples(table_of_runs(results), SCORES, samplers)}
    assert [*plots] == ["scores.svg", "ranks.svg", "numbers.svg"]
    dotted, line = plots["numbers.svg"].draw().axes[0].lines
    assert list(dotted.get_ydata()) == pytest.approx(calibrated)
    assert list(line.get_ydata()) == calibrated
    [energy] = plots["numbers.svg"].draw().axes[2].lines
    assert list(energy.get_xdata()) == [2, 3], "of one sample, it is no estimate"
    bars = plots["ranks.svg"].draw().axes[0]
    assert [bar.get_height() for bar in bars.patches] == pytest.approx([25.0] * 4)
    assert list(bars.lines[0].get_ydata()) == pytest.approx([25.0] * 2)
    crps = plots["scores.svg"].draw().axes[0]
    flat, flow = (line for line in crps.lines if line.get_label() in ("one", "flow"))
    assert list(flat.get_ydata()) == pytest.approx([12.25] * 2)
    assert list(flow.get_xdata()) == [0.5, 0.8]


def test_without_samplers_only_scores_are_drawn(sampled):
    results = read_results([sampled(THREE)])
    assert [plot.file for plot in plots_of_samples(table_of_runs(results), SCORES, [])] == ["scores.svg"]
