"""Which images of a run were in the training of a model."""

import json
import shutil
from pathlib import Path

import pytest
from builders import drawn
from PIL import Image
from record_runs import forge_sums

from srbench import evaluate
from srbench.files.hashes import sha256_bytes
from srbench.images.io import pixels_sha256, read_uint8, write_png
from srbench.models.loading import load_model
from srbench.reporting.writers.report import write_report
from srbench.verification.verify import verify
from srbench.weights.files import load_weights, save_weights
from srbench.weights.training_images import from_text, images_of, is_among


@pytest.fixture(scope="module")
def photographs(trainings):
    """Four images to test on: the first two, in other formats, are trained on; the third is compressed once more."""
    test, train = trainings.path / "test", trainings.path / "photographs"
    for seed, name in enumerate(("dog", "elk", "fox", "gnu")):
        write_png(test / f"{name}.png", drawn(seed, 50, 45))
    (train / "animals").mkdir(parents=True)
    for name in ("dog", "elk"):
        with Image.open(test / f"{name}.png") as image:
            image.save(train / "animals" / f"{name}.bmp")
    with Image.open(test / "fox.png") as image:
        image.save(train / "fox.jpg")
    trainings.train("rrdb", "seen", "training.steps=1", data=(train,))
    return test


def run(srbench, photographs, out, models, *words):
    words = ["--models", models, "--scale", 4, "--data", photographs, "--metrics", "psnr", *words, "--workers", 1]
    done = srbench("run", *words, "--out", out)
    assert done.exit_code == 0, done.output
    records = map(json.loads, (out / "samples.jsonl").read_text().splitlines())
    return done.stdout, {(line["model"], line["image"]): line["in_training"] for line in records}


@pytest.mark.parametrize("words", [(), ("--crop", 32)], ids=["cropped to a multiple", "cropped to the centre"])
def test_a_run_says_which_images_were_trained_on(trainings, photographs, srbench, tmp_path, words):
    models = f"mine=rrdb:{trainings.path / 'seen'},elsewhere=rrdb:{trainings.path / 'start'},bicubic"
    terminal, said = run(srbench, photographs, tmp_path / "run", models, *words)
    note = "2 of 4 images were in the training of mine, such as dog: values on new images may be worse."
    texts = [terminal, *((tmp_path / "run" / "report" / name).read_text() for name in ("report.md", "report.html"))]
    assert [text.count("in the training of") for text in texts] == [1, 1, 1]
    assert all(note in text for text in texts)
    assert said == {
        **{("mine", name): name in ("dog", "elk") for name in ("dog", "elk", "fox", "gnu")},
        **{("elsewhere", name): False for name in ("dog", "elk", "fox", "gnu")},
        **{("bicubic", name): None for name in ("dog", "elk", "fox", "gnu")},
    }
    assert verify(tmp_path / "run", resample="all").proven


def test_images_of_the_initial_weights_count_as_well(trainings, photographs, srbench, tmp_path):
    start = shutil.copy(trainings.path / "seen" / "weights.safetensors", tmp_path)
    first = load_model(f"rrdb:{start}", 4, "cpu").training_images
    later = trainings.train("esrgan", "later", "training.steps=1", start=Path(start)).parent
    Path(start).unlink()
    (later / "weights.safetensors").unlink()  # an unfinished training
    _, said = run(srbench, photographs, tmp_path / "run", f"mine=esrgan:{later}")
    assert [image for (_, image), was_trained_on in said.items() if was_trained_on] == ["dog", "elk"]
    trainings.go_on("later")
    own = [line.partition("  ")[0] for line in (later / "images.txt").read_text().splitlines()]
    assert load_model(f"esrgan:{later}", 4, "cpu").training_images == images_of(own, first)
    assert (len(own), len(first)) == (3, 3 * 8)


def test_a_training_lists_its_images(trainings, photographs):
    train = trainings.path / "photographs"
    expected = [
        f"{pixels_sha256(read_uint8(train / name))}  {name}"
        for name in ("animals/dog.bmp", "animals/elk.bmp", "fox.jpg")
    ]
    assert (trainings.path / "seen" / "images.txt").read_text().splitlines() == expected
    images = from_text(load_weights(trainings.path / "seen" / "weights.safetensors")[1]["images"])
    assert images == b"".join(sorted(bytes.fromhex(line[:16]) for line in expected))


def test_weights_that_do_not_state_their_images_say_nothing(trainings, photographs, srbench, tmp_path):
    tensors, metadata = load_weights(trainings.path / "seen" / "weights.safetensors")
    del metadata["images"]
    save_weights(tmp_path / "mine.safetensors", tensors, metadata)
    terminal, said = run(srbench, photographs, tmp_path / "run", f"mine=rrdb:{tmp_path / 'mine.safetensors'}")
    assert set(said.values()) == {None}
    assert "in the training of" not in terminal + (tmp_path / "run" / "report" / "report.md").read_text()


@pytest.mark.parametrize(
    ("name", "changed", "found"),
    [
        ("samples.jsonl", {"in_training": False}, "mine dog"),
        ("samples.jsonl", {"in_training": None}, "mine dog"),
        ("pairs.jsonl", {"whole": "0" * 64}, "pairs.jsonl: dog"),
        ("pairs.jsonl", {"whole": None}, "pairs.jsonl: dog"),
    ],
)
def test_a_training_image_is_not_hidden(trainings, photographs, srbench, tmp_path, name, changed, found):
    original = trainings.path / "run"
    if not original.exists():
        run(srbench, photographs, original, f"mine=rrdb:{trainings.path / 'seen'}")
    folder = shutil.copytree(original, tmp_path / "run")
    lines = [json.loads(line) | changed for line in (folder / name).read_text().splitlines()]
    (folder / name).write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    forge_sums(folder)
    write_report([folder])
    findings = verify(folder).findings
    assert ("record-differs", found) in {(each.rule, each.where) for each in findings}


def test_the_images_of_a_model_object_are_known(trainings, photographs):
    network = load_model(f"rrdb:{trainings.path / 'seen'}", 4, "cpu").model
    results = evaluate({"mine": network}, data=photographs, scale=4, metrics=["psnr"])
    assert [row.sample.in_training for row in results.measurements] == [True, True, False, False]


def test_an_image_is_found_among_many():
    hashes = [sha256_bytes(bytes([place])) for place in range(50)]
    images = images_of(hashes[:40])
    assert [is_among(sha256, images) for sha256 in hashes] == [True] * 40 + [False] * 10
    assert not is_among(hashes[0], b"")
