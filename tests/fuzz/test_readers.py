"""Whatever bytes a file has, its reader gives what it promises or its own error. Long: --hypothesis-profile=long."""

from __future__ import annotations

import io
import json
import tarfile
import warnings
import zipfile
from importlib.resources import files

import pytest
import torch
from PIL import Image
from safetensors.torch import save

from srbench.files.config import ConfigError, load_toml
from srbench.images import ImageError
from srbench.images.io import quantize_round, read_image, read_uint8
from srbench.interfaces import SRBenchError
from srbench.run_folder import RunFolderError
from srbench.run_folder.manifest import content_of, read_manifest
from srbench.run_folder.records import ImageDigest, PairRecord, SampleRecord, ScoreRecord, from_line, to_line
from srbench.training import TrainingError
from srbench.weights.files import WeightsError, load_metadata, load_weights
from srbench.weights.metadata import WeightsMetadata, read_metadata
from srbench.weights.official import _unpacked
from srflow.presets import SRFlowPreset

hypothesis = pytest.importorskip("hypothesis")
given, st = hypothesis.given, hypothesis.strategies


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return tmp_path_factory.mktemp("fuzz")


def in_one_line(error):
    assert len(str(error).splitlines()) == 1


@st.composite
def damaged(draw, contents):
    """One of some contents with a few bytes changed, cut out, put in, or its end cut off."""
    content = bytearray(draw(st.sampled_from(contents)))
    for _ in range(draw(st.integers(1, 6))):
        at = draw(st.integers(0, max(len(content) - 1, 0)))
        what = draw(st.integers(0, 4))
        if what == 0:
            content[at : at + 1] = draw(st.binary(min_size=1, max_size=1))
        elif what == 1:
            content[at : at + 4] = draw(st.sampled_from([b"\xff" * 4, b"\x00" * 4, b"\x7f\xff\xff\xff", b"\x80\0\0\0"]))
        elif what == 2:
            del content[at : at + draw(st.integers(1, 40))]
        elif what == 3:
            content[at:at] = draw(st.binary(max_size=20))
        else:
            del content[at:]
    return bytes(content)


def _images():
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randint(256, (12, 10, 3), generator=generator, dtype=torch.uint8).numpy()
    image, found = Image.fromarray(pixels), []
    exif = Image.Exif()
    exif[0x0112], exif[0x011A] = 6, 72.0
    for options in (
        {"format": "PNG"},
        {"format": "PNG", "exif": exif},
        {"format": "JPEG", "exif": exif},
        {"format": "TIFF"},
        {"format": "JPEG", "progressive": True},
        {"format": "TIFF", "compression": "tiff_lzw"},
        {"format": "BMP"},
        {"format": "WEBP", "exif": exif},
        {"format": "WEBP", "lossless": True},
    ):
        buffer = io.BytesIO()
        image.save(buffer, **options)
        found.append(buffer.getvalue())
    for mode in ("1", "L", "P", "RGBA", "LA", "I;16"):
        buffer = io.BytesIO()
        (Image.new("I;16", (10, 12), 999) if mode == "I;16" else image.convert(mode)).save(buffer, "PNG")
        found.append(buffer.getvalue())
    return found


@given(content=damaged(_images()))
def test_images(place, content):
    path = place / "a.png"
    path.write_bytes(content)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            image = read_image(path)
        except ImageError as error:
            in_one_line(error)
            with pytest.raises(ImageError):
                read_uint8(path)
            return
        assert image.ndim == 3
        assert image.shape[0] == 3
        assert bool(((image >= 0) & (image <= 1)).all())
        assert torch.equal(quantize_round(image), read_uint8(path))


DIGEST = ImageDigest("0" * 64, "1" * 64)
RECORDS = [
    PairRecord("key", 0, "", "a", DIGEST, DIGEST),
    SampleRecord("key", 0, "", "a", "m", 0.8, "", (DIGEST, ImageDigest("2" * 64, None)), 0.5, None),
    ScoreRecord("key", 0, "", "a", "m", None, "psnr", "PSNR|RGB", [20.5, float("inf")], "sample", 0.1),
]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@st.composite
def other_facts(draw, facts):
    """Facts as JSON holds them, with some values replaced by any others, left out, or added."""
    facts = json.loads(json.dumps(facts))
    for _ in range(draw(st.integers(1, 3))):
        inner = facts
        while True:
            keys = list(inner) if isinstance(inner, dict) else list(range(len(inner)))
            if not keys:
                break
            key = draw(st.sampled_from(keys))
            if isinstance(inner[key], dict | list) and draw(st.booleans()):
                inner = inner[key]
                continue
            if draw(st.integers(0, 5)):
                inner[key] = draw(JSON)
            else:
                del inner[key]
            break
    return facts


def _line(record):
    return json.loads(to_line(record))


@given(data=st.data(), record=st.sampled_from(RECORDS))
def test_lines(data, record):
    line = data.draw(
        other_facts(_line(record)).map(json.dumps)
        | damaged([to_line(record).encode()]).map(lambda content: content.decode(errors="replace"))
        | st.text()
    )
    try:
        found = from_line(line, type(record))
    except (ValueError, RecursionError):
        return
    assert to_line(from_line(to_line(found), type(record))) == to_line(found)


@pytest.fixture(scope="module")
def manifest(place, srbench):
    """The facts of a finished run."""
    for name in ("hr", "lr"):
        (place / name).mkdir()
        Image.new("RGB", (16, 16) if name == "hr" else (4, 4), (9, 99, 199)).save(place / name / "a.png")
    options = ["--hr", place / "hr", "--lr", place / "lr", "--metrics", "psnr", "--workers", 1, "--out", place / "run"]
    assert srbench("run", "--models", "bicubic", "--scale", 4, *options).exit_code == 0
    return json.loads((place / "run" / "manifest.json").read_text())


@given(data=st.data())
def test_manifests(manifest, place, data):
    (place / "other").mkdir(exist_ok=True)
    content = data.draw(
        other_facts(manifest).map(lambda facts: json.dumps(facts).encode()) | damaged([json.dumps(manifest).encode()])
    )
    (place / "other" / "manifest.json").write_bytes(content)
    try:
        found = read_manifest(place / "other")
    except RunFolderError as error:
        in_one_line(error)
        return
    (place / "other" / "manifest.json").write_bytes(content_of(found))
    assert read_manifest(place / "other") == found


PRESET = (files("srflow") / "presets" / "mini-x8.toml").read_bytes()
KEYS = st.sampled_from(
    [f"training.{name}" for name in ("steps", "batch", "betas", "milestones", "seed", "schedule", "learning_rate")]
    + [f"network.{name}" for name in ("steps", "stacked", "width", "scale_floor", "relative_temperatures", "encoder")]
    + ["encoder_freeze", "network", "training", "network.encoder.blocks", "network.encoder.scale", ""]
) | st.text(max_size=9)
VALUES = st.sampled_from(["-1", "0", "1e400", "nan", "[]", "[1, -1]", "true", "{}", "[[[", '"', "9" * 5000]) | st.text(
    max_size=12
)


@given(content=st.just(PRESET) | damaged([PRESET]), changes=st.lists(st.tuples(KEYS, VALUES).map("=".join), max_size=2))
def test_presets(place, content, changes):
    path = place / "preset.toml"
    path.write_bytes(content)
    try:
        found = load_toml(path, SRFlowPreset, changes)
        found.training.check(1, 8)
    except (ConfigError, TrainingError):
        return
    assert found.network.steps >= 1
    assert 0 <= found.encoder_freeze <= 1


TEXT = WeightsMetadata("rrdb", "p", 4, {"scale": 4}, "MIT", "noise", losses={"l1": [1.0]}, step=3).text()
WEIGHTS = save({"a": torch.ones(2, 3), "b": torch.zeros(4)}, TEXT)


@given(content=damaged([WEIGHTS, WEIGHTS[:-8]]))
def test_weights(place, content):
    path = place / "a.safetensors"
    path.write_bytes(content)
    try:
        tensors, text = load_weights(path)
    except WeightsError as error:
        in_one_line(error)
        return
    assert text == load_metadata(path)
    assert all(bool(tensor.isfinite().all()) for tensor in tensors.values())


@given(text=st.dictionaries(st.sampled_from(sorted(TEXT)) | st.text(max_size=5), JSON.map(json.dumps) | st.text()))
def test_metadata(place, text):
    try:
        found = read_metadata({**TEXT, **text}, place / "a.safetensors")
    except WeightsError:
        return
    assert read_metadata(found.text(), place / "a.safetensors").text() == found.text()


def _archives():
    zipped, tarred = io.BytesIO(), io.BytesIO()
    with zipfile.ZipFile(zipped, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("deep/0001.png", b"one" * 50)
        archive.writestr("../../0002.png", b"two" * 50)
    with tarfile.open(fileobj=tarred, mode="w") as archive:
        for name in ("deep/0001.png", "../0002.png"):
            member = tarfile.TarInfo(name)
            member.size = 150
            archive.addfile(member, io.BytesIO(b"one" * 50))
    return zipped.getvalue(), tarred.getvalue()


ZIP, TAR = _archives()


@given(content=damaged([ZIP, TAR]), kind=st.sampled_from(["zip", "tar"]))
def test_archives(place, content, kind):
    """Nothing is written but into the folder that was named."""
    folder, archive = place / "archives", place / "archives" / f"a.{kind}"
    folder.mkdir(exist_ok=True)
    archive.write_bytes(content)
    try:
        taken = _unpacked(archive, folder / "0001.png")
        assert taken in (archive, folder / "0001.png")
    except SRBenchError:
        pass
    assert {path.name for path in folder.iterdir()} <= {f"a.{kind}", "a.zip", "a.tar", "0001.png"}
