import hashlib

import pytest
import torch
from builders import flat

from srbench.files.config import ConfigError
from srbench.images import ImageError
from srbench.images.io import write_png
from srbench.interfaces import PrecomputedResults, SRBenchError
from srbench.models.precomputed import ResultFolder, stated_facts
from srbench.run_folder.folder import RunFolder
from srbench.run_folder.manifest import read_manifest
from srbench.run_folder.measurements import measurements_of

FACTS = 'colour_fix = "wavelet"\ntile = 0\nsteps = 1\nsource = "https://a.example/b_c"\n'


def test_one_image_per_name(tmp_path):
    write_png(tmp_path / "a.png", flat(51))
    results = ResultFolder(tmp_path, 4)
    assert isinstance(results, PrecomputedResults)
    assert torch.equal(results.read("a"), torch.full((1, 3, 8, 8), 0.2))
    digest = hashlib.sha256(hashlib.sha256((tmp_path / "a.png").read_bytes()).digest()).hexdigest()
    assert results.digest("a") == digest
    write_png(tmp_path / "a.png", flat(2))
    assert ResultFolder(tmp_path, 4).digest("a") != digest


def test_samples_come_in_the_order_of_their_numbers(tmp_path):
    for number in (10, 0, 2):
        write_png(tmp_path / f"a+b_sample{number}.png", flat(number))
    assert ResultFolder(tmp_path, 4).read("a+b")[:, 0, 0, 0].mul(255).tolist() == [0, 2, 10]


def test_numbers_may_have_zeros_before_them(tmp_path):
    """As in the NTIRE challenge: 000001_sample00010.png. Two files of one sample are named."""
    for number in (10, 9):
        write_png(tmp_path / f"000001_sample{number:05d}.png", flat(number))
    assert ResultFolder(tmp_path, 4).read("000001")[:, 0, 0, 0].mul(255).tolist() == [9, 10]
    write_png(tmp_path / "000001_sample9.png", flat(9))
    with pytest.raises(SRBenchError, match=r"000001_sample00009\.png and 000001_sample9\.png are the same sample"):
        ResultFolder(tmp_path, 4).read("000001")


def test_the_last_number_is_that_of_the_sample(tmp_path):
    for name in ("a_sample0_sample1", "a_sample0_sample0", "_sample5", "a_sampleb"):
        write_png(tmp_path / f"{name}.png", flat(len(name)))
    results = ResultFolder(tmp_path, 4)
    assert len(results.read("a_sample0")) == 2
    for name in ("a", ""):
        with pytest.raises(SRBenchError, match="no result named"):
            results.read(name)


def test_faults_are_named(tmp_path):
    with pytest.raises(ImageError, match="contains no images"):
        ResultFolder(tmp_path, 4)
    write_png(tmp_path / "a_sample0.png", flat(1))
    write_png(tmp_path / "a_sample1.png", flat(1, side=9))
    (tmp_path / "b.png").write_text("text")
    results = ResultFolder(tmp_path, 4)
    with pytest.raises(SRBenchError, match=r"no result named c; add c\.png"):
        results.read("c")
    with pytest.raises(SRBenchError, match="no result named c"):
        results.digest("c")
    with pytest.raises(SRBenchError, match="the samples of a differ in size"):
        results.read("a")
    with pytest.raises(ImageError, match=r"b\.png: not an image"):
        results.read("b")


@pytest.mark.parametrize(
    "place",
    ["{name}/{number}.png", "{name}/{name}_out_{number:05d}.png", "{number}/{name}.png", "seed{number}/{name}.png"],
)
def test_samples_in_folders(tmp_path, place):
    """One folder per image or per sample, also if both have numbers as names."""
    names = "0801", "0802"
    for level, name in enumerate(names):
        for number in (10, 2):
            write_png(tmp_path / place.format(name=name, number=number), flat(100 * level + number))
    results = ResultFolder(tmp_path, 4)
    for level, name in enumerate(names):
        assert results.read(name)[:, 0, 0, 0].mul(255).round().tolist() == [100 * level + 2, 100 * level + 10]
        assert name in results.stems
    assert results.unpaired(names) == []
    assert len(results.unpaired(names[:1])) == 2
    with pytest.raises(SRBenchError, match=r"no result named c; add c\.png"):
        results.read("c")


def test_folders_of_one_sample_each_and_beside_images(tmp_path):
    for name in "0", "00":
        write_png(tmp_path / "a" / f"{name}.png", flat(0))
    with pytest.raises(SRBenchError, match=r"a/0.png and a/00.png are the same sample of a"):
        ResultFolder(tmp_path, 4).unpaired(["a"])
    write_png(tmp_path / "a.png", flat(51))
    assert len(ResultFolder(tmp_path, 4).read("a")) == 1, "folders beside images are passed over"


def test_results_for_clips(tmp_path):
    """Names of images in clips decide that subfolders are clips, and not samples, even if numbers look like those."""
    for level, clip in enumerate(("clip-1", "take-1")):
        for frame in range(3):
            write_png(tmp_path / clip / f"{frame:04d}x4.png", flat(100 * level + frame))
    names = [f"{clip}-{frame:04d}" for clip in ("clip-1", "take-1") for frame in range(3)]
    results = ResultFolder(tmp_path, 4)
    results.pair_with(names, 4)
    assert [round(255 * results.read(name)[0, 0, 0, 0].item()) for name in names] == [0, 1, 2, 100, 101, 102]
    assert results.unpaired(names) == []
    assert results.unpaired(names[1:]) == ["clip-1/0000x4"]
    with pytest.raises(SRBenchError, match=r"may be clips or samples, which the names of HR or LR images tell"):
        results.names()


def test_samples_of_the_images_of_clips(tmp_path):
    for number in (10, 2):
        write_png(tmp_path / "000" / f"00000_sample{number}.png", flat(number))
    results = ResultFolder(tmp_path, 4)
    assert results.read("000-00000")[:, 0, 0, 0].mul(255).round().tolist() == [2, 10]
    assert results.unpaired(["000-00000"]) == []
    assert results.names(in_clips=True) == ("000-00000",)
    write_png(tmp_path / "000" / "00000.png", flat(0))
    with pytest.raises(SRBenchError, match=r"000-00000 has both a single result, 00000\.png, and a sample"):
        ResultFolder(tmp_path, 4).unpaired(["000-00000"])


def test_one_alone_and_one_of_several_are_a_duplicate(tmp_path):
    write_png(tmp_path / "a.png", flat(1))
    write_png(tmp_path / "a_sample0.png", flat(2))
    with pytest.raises(SRBenchError, match=r"a has both a single result, a\.png, and a sample, a_sample0\.png"):
        ResultFolder(tmp_path, 4).unpaired(["a"])
    assert ResultFolder(tmp_path, 4).unpaired(["a", "a_sample0"]) == [], "each its own"


@pytest.fixture
def measured(command, tmp_path):
    """The outcome of a run on a folder of results for images a and b, changed before."""

    def call(change, limit=2):
        for level, name in enumerate("ab"):
            write_png(tmp_path / "hr" / f"{name}.png", flat(9 * level, 16))
            write_png(tmp_path / "results" / f"{name}.png", flat(9 * level + 1, 16))
        change(tmp_path / "results")
        options = f"--data hr --limit {limit} --scale 4 --metrics psnr --out run --workers 1"
        return command("run", "--models", "mine=results", *options.split())

    return call


@pytest.mark.filterwarnings("default::UserWarning")  # as a terminal shows them
@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda folder: (folder / "b.png").unlink(), "results lacks b; add, rename or remove images"),
        (lambda folder: write_png(folder / "c.png", flat(0, 16)), " lacks c; add, rename or remove images"),
        (lambda folder: (folder / "b.png").rename(folder / "bb.png"), " lacks bb (nearest: b); add, rename"),
        (lambda folder: (folder / "b.bmp").write_bytes((folder / "b.png").read_bytes()), "b.bmp and b.png share a"),
        (
            lambda folder: write_png(folder / "b_sample0.png", flat(0, 16)),
            "b has both a single result, b.png, and a sample, b_sample0.png",
        ),
    ],
    ids=["missing", "extra", "misnamed", "twice", "alone and of several"],
)
def test_nothing_is_measured_if_names_of_results_do_not_fit(measured, change, named, tmp_path):
    done = measured(change)
    assert done.code == 1, done.err
    assert named in done.err
    assert not (tmp_path / "run").exists()


def test_results_are_needed_for_the_measured_images_only(measured, tmp_path):
    done = measured(lambda folder: (folder / "b.png").unlink(), limit=1)
    assert done.code == 0, done.err


def test_a_result_of_another_size_is_named(measured):
    done = measured(lambda folder: write_png(folder / "b.png", flat(0, 12)))
    assert done.code == 1, done.err
    assert "mine: b: the result has shape" in done.err


def test_all_facts_are_optional_and_nothing_else_is_taken(tmp_path):
    assert stated_facts(tmp_path) == {}
    (tmp_path / "facts.toml").write_text(FACTS + "temperature = 1\n")
    assert stated_facts(tmp_path) == {
        "colour fix": "wavelet",
        "tile": "0",
        "steps": "1",
        "temperature": "1.0",
        "source": "https://a.example/b_c",
    }
    (tmp_path / "facts.toml").write_text("step = 1\n")
    with pytest.raises(ConfigError, match=r"facts.toml: .*unknown key 'step'.*did you mean steps"):
        stated_facts(tmp_path)


def test_a_run_shows_stated_facts_and_measures_nothing_again(tmp_path, command, draw_image):
    for seed, name in enumerate("ab"):
        write_png(tmp_path / "hr" / f"{name}.png", draw_image(seed, 32, 32))
        write_png(tmp_path / "theirs" / f"{name}.png", draw_image(seed + 2, 32, 32))
    words = ("run", "--models", "theirs=theirs,bicubic", "--scale", 4, "--data", "hr", "--metrics", "psnr")
    words += ("--out", "out", "--workers", 1)
    assert command(*words).code == 0
    lines = (tmp_path / "out" / "rows.jsonl").read_bytes()
    assert "precomputed outputs" not in (tmp_path / "out" / "report" / "report.md").read_text()
    (tmp_path / "theirs" / "facts.toml").write_text(FACTS)
    assert command(*words).code == 0
    assert (tmp_path / "out" / "rows.jsonl").read_bytes() == lines, "no value depends on them"
    assert read_manifest(tmp_path / "out").model("theirs").stated["colour fix"] == "wavelet"
    report = (tmp_path / "out" / "report" / "report.md").read_text()
    assert (
        "- **theirs**: precomputed outputs. Their folder states colour fix: wavelet; tile: 0; steps: 1; source: "
        in report
    )
    assert (
        "Their folder states colour fix: wavelet; tile: 0" in (tmp_path / "out" / "report" / "report.html").read_text()
    )
    assert command("verify", "out").code == 0
    (tmp_path / "theirs" / "facts.toml").write_text("tiles = 1\n")
    refused = command(*words)
    assert refused.code == 1
    assert len(refused.err.strip().splitlines()) == 1


def test_names_that_end_in_the_scale(tmp_path, command, draw_image):
    """Outputs called ax4.png, as EDSR writes them, are those of a.png: in workers and in a second sampling too."""
    for seed, name in enumerate("ab"):
        write_png(tmp_path / "hr" / f"{name}.png", draw_image(seed, 32, 32))
        write_png(tmp_path / "plain" / f"{name}.png", draw_image(seed + 2, 32, 32))
        write_png(tmp_path / "theirs" / f"{name}x4.png", draw_image(seed + 2, 32, 32))
    words = ("run", "--models", "plain=plain,theirs=theirs", "--scale", 4, "--data", "hr", "--metrics", "psnr")
    assert command(*words, "--out", "out", "--workers", 2).code == 0
    assert command("verify", "out", "--resample", "all").code == 0
    table = RunFolder.read(tmp_path / "out")
    values = {(row.setting.model, row.image): row.values["psnr"] for row in measurements_of(table)}
    assert all(values["theirs", name] == values["plain", name] for name in "ab")
