import json
from dataclasses import replace

import pytest
from builders import metric, model_facts, protocol

from srbench.interfaces import WeightsInfo
from srbench.machine.environment import hardware, software
from srbench.run_folder import RunFolderError
from srbench.run_folder.folder import RunFolder
from srbench.run_folder.manifest import now, read_manifest, write_manifest
from srbench.run_folder.protocol import FORMAT, Invocation, Manifest, Setting

MANIFEST = Manifest(
    FORMAT,
    protocol(),
    images=("a", "τ b", "c"),
    metrics=(metric("psnr"),),
    models=(
        model_facts("m", spec="m:file", projected=True, weights=WeightsInfo("f00", "CC0-1.0", "flowers", 12)),
        model_facts("n"),
    ),
    settings=(Setting("m", 0.8), Setting("n", None)),
    invocations=tuple(
        Invocation("srbench run", settings, images, ("psnr",), now(), None, "cpu", software(), hardware("cpu"))
        for settings, images in [((Setting("n", None),), ("a",)), ((Setting("m", 0.8),), ("c", "a")), ((), ())]
    ),
)


def test_what_is_written_is_read(tmp_path):
    write_manifest(tmp_path / "run", MANIFEST)
    assert read_manifest(tmp_path / "run") == MANIFEST
    facts = json.loads((tmp_path / "run" / "manifest.json").read_text())
    names = ["format", "protocol", "images", "metrics", "models", "settings", "invocations", "folders"]
    assert list(facts) == names
    assert facts["models"][0]["weights"] == {
        "sha256": "f00",
        "licence": "CC0-1.0",
        "trained_on": "flowers",
        "parameters": 12,
        "losses": {},
        "temperature": None,
    }
    assert facts["models"][1]["weights"] is None


def test_the_same_manifest_leaves_the_file_alone(tmp_path):
    write_manifest(tmp_path, MANIFEST)
    before = (tmp_path / "manifest.json").stat()
    write_manifest(tmp_path, MANIFEST)
    assert (tmp_path / "manifest.json").stat() == before


def test_the_images_that_were_asked_for():
    assert MANIFEST.scope == ("a", "c")
    assert [MANIFEST.planned(setting) for setting in MANIFEST.settings] == [("a", "c"), ("a",)]
    assert MANIFEST.planned(Setting("m", 0.9)) == ()
    assert replace(MANIFEST, invocations=()).scope == ()


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (None, "no run in it"),
        ("{", "damaged"),
        ("[]", r"damaged \(not an object\)"),
        ('{"name": "web app"}', "has format None, and this srbench reads 5"),
        ('{"format": 6}', "has format 6, and this srbench reads 5"),
        ('{"format": 4}', "has format 4, and this srbench reads 5; use the srbench that made it"),
        ('{"format": 5}', r"manifest\.json: damaged \(protocol: missing"),
    ],
)
def test_what_is_no_run(tmp_path, content, fault):
    if content is not None:
        (tmp_path / "manifest.json").write_text(content)
    with pytest.raises(RunFolderError, match=fault):
        read_manifest(tmp_path)


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (lambda f: f["models"][0].update(label="../m"), "'../m' cannot be the name of a model"),
        (lambda f: f["models"][0].update(label="HR"), "'HR' cannot be the name of a model"),
        (lambda f: f["metrics"][0].update(digits=10**9), "decimals"),
        (lambda f: f["images"].append("a\nb"), r"'a\\nb' cannot be the name of an image"),
        (lambda f: f["images"].append(".."), r"'\.\.' cannot be the name of an image"),
        (lambda f: f["images"].append("a"), "an image is listed twice"),
        (lambda f: f["metrics"].append(f["metrics"][0]), "a metric is listed twice"),
        (lambda f: f["metrics"][0].update(title=" "), "a metric has no title"),
        (lambda f: f["protocol"].update(average="frames"), "'frames' is none of images, folders"),
        (lambda f: f["protocol"].update(average="folders"), "means are over folders, and an image is in none"),
        (lambda f: f["settings"][0].update(model="x"), "a setting of 'x', which is not one of its models"),
        (lambda f: f["settings"][0].update(temperature=-1), "-1.0 is not a temperature"),
        (lambda f: f["settings"][0].update(limit=2), "unknown key 'limit'"),
        (lambda f: f["settings"].append(f["settings"][0]), "two settings share a folder"),
        (lambda f: f["settings"].pop(), "a command measured n, which is not one of its settings"),
        (lambda f: f["protocol"].update(dataset="\ud800"), "surrogates not allowed"),
        (lambda f: f["invocations"][0].update(command="\ud800"), "surrogates not allowed"),
        (
            lambda f: f["models"][0].update(checkpoint={"training": "t", "step": 10**309}),
            "a step of a training is below 0 or above 1e308",
        ),
        (lambda f: f["protocol"].update(scale=0), "scale, samples and kept samples have to be 1 or more"),
        (
            lambda f: f["protocol"].update(scale="4"),
            r"manifest\.json: damaged \(protocol\.scale: expected int, got str",
        ),
        (lambda f: f["protocol"].update(colour="red"), "unknown key 'colour'"),
    ],
)
def test_what_no_run_would_have_written(tmp_path, change, fault):
    write_manifest(tmp_path, MANIFEST)
    facts = json.loads((tmp_path / "manifest.json").read_text())
    change(facts)
    (tmp_path / "manifest.json").write_text(json.dumps(facts))
    with pytest.raises(RunFolderError, match=fault) as caught:
        read_manifest(tmp_path)
    assert str(caught.value).endswith("restore it, or run again with another --out")
    assert "\n" not in str(caught.value)


def test_the_records_of_another_format_are_not_called_damaged(tmp_path):
    (tmp_path / "manifest.json").write_text('{"format": 4}')
    (tmp_path / "rows.jsonl").write_text('{"tries": 1}\n')
    with pytest.raises(RunFolderError, match="has format 4, and this srbench reads 5"):
        RunFolder.read(tmp_path)
