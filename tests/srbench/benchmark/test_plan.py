"""What is left to do, from the records of a folder and a request; nothing is opened."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import pytest
from builders import drawn, metric, model_facts, protocol
from msgspec import structs

from srbench.benchmark.plan import plan
from srbench.files.hashes import sha256_bytes
from srbench.images.io import encode_png, pixels_sha256
from srbench.interfaces import SRBenchError
from srbench.run_folder.folder import RunFolder, score_key
from srbench.run_folder.journal import Journal
from srbench.run_folder.protocol import FORMAT, Invocation, Manifest, Setting
from srbench.run_folder.records import ImageDigest, PairRecord, SampleRecord, ScoreRecord
from srbench.run_folder.request import RunSpec

PLAIN = Setting("plain", None)
NOISY = Setting("noisy", 0.8)
PSNR = metric("psnr")
SSIM = metric("ssim")


NOTHING_AGAIN = RunSpec((), 4)


@dataclass(frozen=True)
class Request:
    """What the plan reads of an opened request."""

    settings: tuple = (PLAIN, NOISY)
    images: tuple = ("a", "b")
    spec: RunSpec = NOTHING_AGAIN
    pair_key: Callable = "pair {}".format
    source: Callable = "".format


REQUEST = Request()


@pytest.fixture
def folder(tmp_path):
    """A run of two settings on two images of three, PSNR measured, all files there."""
    invocation = Invocation("srbench run", (PLAIN, NOISY), ("a", "b"), ("psnr",), "then", "later", "cpu", {}, {})
    models = (model_facts("plain"), model_facts("noisy"))
    manifest = Manifest(FORMAT, protocol(), ("a", "b", "c"), (PSNR, SSIM), models, (PLAIN, NOISY), (invocation,))
    made = RunFolder(tmp_path / "run", manifest)
    made.path.mkdir()
    for image in "ab":
        files = []

        def kept(path, seed, files=files):
            content = encode_png(drawn(seed, 8, 8))
            files.append((path.relative_to(made.path), content))
            return ImageDigest(pixels_sha256(drawn(seed, 8, 8)), sha256_bytes(content))

        lr, hr = (kept(path, seed) for seed, path in enumerate(made.pair_files(image)))
        lines = [PairRecord(f"pair {image}", 0, "", image, lr, hr)]
        for setting in (PLAIN, NOISY):
            count = 1 if setting == PLAIN else 2
            key = made.sample_key(setting, f"pair {image}", "")
            unsaved = (ImageDigest("", None),) * count
            sample = SampleRecord(key, 0, "", image, setting.model, setting.temperature, "", unsaved, 0.5, None)
            paths = made.output_files(sample, count)
            sample = structs.replace(sample, outputs=tuple(kept(path, 5 + n) for n, path in enumerate(paths)))
            lines += [sample, scored(sample, PSNR)]
        Journal(made).add(lines, files)
    return made


def scored(sample, facts, **changes):
    record = ScoreRecord(
        score_key(sample, facts),
        0,
        "",
        sample.image,
        sample.model,
        sample.temperature,
        facts.name,
        facts.signature,
        [30.0] * len(sample.outputs),
        sample.key,
        0.1,
    )
    return structs.replace(record, **changes)


def left(folder, request=REQUEST, metrics=(PSNR,)):
    """The plan in short: image, setting, and ``sample`` or the metrics to measure; or ``pair`` or a fault."""
    places = []
    for task in plan(folder, metrics, request):
        if task.fault:
            places.append((task.image, task.fault))
        elif task.pair is None:
            places.append((task.image, "pair"))
        places += [
            (task.image, item.setting.model, "sample" if item.key and item.record is None else tuple(item.metrics))
            for item in task.items
        ]
    return places


def test_nothing_is_left_of_a_finished_run(folder):
    assert left(folder) == []
    assert left(folder, None) == []
    assert left(folder, replace(REQUEST, images=("a",), settings=(PLAIN,))) == []


def test_images_models_and_temperatures_that_are_new(folder):
    assert left(folder, replace(REQUEST, images=("a", "b", "c"))) == [
        ("c", "pair"),
        ("c", "plain", "sample"),
        ("c", "noisy", "sample"),
    ]
    assert left(folder, replace(REQUEST, settings=(Setting("noisy", 0.5),))) == [
        ("a", "noisy", "sample"),
        ("b", "noisy", "sample"),
    ]
    folder.by_image.clear()
    assert len(left(folder)) == 6, "nothing is known of an empty folder"
    assert left(folder, None) == [], "and there is nothing to measure"


def test_a_new_metric_is_measured_of_all_samples_whoever_asked_for_them(folder):
    everywhere = [(image, model, ("ssim",)) for image in "ab" for model in ("plain", "noisy")]
    for request in (None, replace(REQUEST, images=("a",), settings=(PLAIN,))):
        assert left(folder, request, (PSNR, SSIM)) == everywhere
    other_code = replace(PSNR, digest="other code")
    assert left(folder, None, (other_code,)) == [(image, model, ("psnr",)) for image, model, _ in everywhere]


def test_what_failed_is_tried_again(folder):
    known = folder.of("a")
    folder.take([structs.replace(known.samples[PLAIN], error="no memory", outputs=())])
    folder.take([scored(known.samples[NOISY], PSNR, error="no value", value=None)])
    assert left(folder) == [("a", "plain", "sample"), ("a", "noisy", ("psnr",))]
    folder.take([structs.replace(known.pair, error="damaged", lr=None, hr=None)])
    [task] = plan(folder, (PSNR,), REQUEST)
    assert task.pair is None
    assert left(folder, None) == [], "without the data it cannot be read"


def test_other_code_or_data_means_other_samples(folder):
    models = (model_facts("plain", digest="other weights"), folder.manifest.models[1])
    folder.manifest = replace(folder.manifest, models=models)
    assert left(folder) == [("a", "plain", "sample"), ("b", "plain", "sample")]
    assert left(folder, None, (SSIM,)) == [("a", "noisy", ("ssim",)), ("b", "noisy", ("ssim",))]
    changed = replace(REQUEST, settings=(NOISY,), pair_key=lambda image: f"{image} was edited")
    assert left(folder, changed) == [
        ("a", "pair"),
        ("a", "noisy", "sample"),
        ("b", "pair"),
        ("b", "noisy", "sample"),
    ]


@pytest.mark.parametrize("damage", ["edited", "cut", "removed"])
def test_images_that_are_not_those_of_their_records_are_made_again(folder, damage):
    """The record stays, so that an equal image needs no new values."""
    for file in (folder.path / "images/plain/a.png", folder.path / "images/noisy-t0.8/b_sample1.png"):
        content = {"edited": encode_png(drawn(9, 8, 8)), "cut": file.read_bytes()[:-5], "removed": b""}[damage]
        file.unlink() if damage == "removed" else file.write_bytes(content)
    assert left(folder) == [("a", "plain", ()), ("b", "noisy", ())]
    assert all(item.key == item.record.key for task in plan(folder, (PSNR,), REQUEST) for item in task.items)
    assert left(folder, None) == [], "to measure, the images are not needed"
    (folder.path / "images/hr/a.png").write_bytes(b"")
    assert ("a", "pair") in left(folder)


def test_more_samples_are_to_be_saved(folder):
    [sample] = (folder.of("a").samples[setting] for setting in [NOISY])
    first, second = sample.outputs
    folder.take([structs.replace(sample, outputs=(first, ImageDigest(second.pixels, None)))])
    assert left(folder) == [("a", "noisy", ())]


def test_again(folder):
    assert left(folder, replace(REQUEST, spec=replace(NOTHING_AGAIN, again=("noisy",)))) == [
        ("a", "noisy", "sample"),
        ("b", "noisy", "sample"),
    ]
    assert left(folder, replace(REQUEST, spec=replace(NOTHING_AGAIN, again=("noisy",)), images=("b",))) == [
        ("b", "noisy", "sample")
    ]
    assert left(folder, replace(REQUEST, spec=replace(NOTHING_AGAIN, again=("plain",)), settings=(NOISY,))) == [], (
        "only what is asked for"
    )


def test_faults_are_named_where_they_belong(folder):
    def unreadable(image):
        if image == "a":
            raise SRBenchError("a: cannot be read")
        return f"pair {image}"

    def missing(label, image):
        if (label, image) == ("plain", "b"):
            raise SRBenchError("no result named b")
        return ""

    request = replace(REQUEST, pair_key=unreadable, source=missing)
    assert left(folder, request) == [("a", "a: cannot be read"), ("b", "plain", "sample")]
    [_, task] = plan(folder, (PSNR,), request)
    assert [item.fault for item in task.items] == ["no result named b"]


def test_a_task_in_parts(folder):
    request = replace(REQUEST, images=("a", "c"), spec=replace(NOTHING_AGAIN, again=("plain", "noisy")))
    known, new = plan(folder, (PSNR,), request)
    assert (known.parts, len(known.rest.items), known.rest.rest) == (2, 1, None)
    assert (new.parts, new.rest) == (3, None), "a pair that has to be read is a part, on which all items depend"
    assert (known.size, new.size, replace(new, items=()).size) == (2, 2, 1)
