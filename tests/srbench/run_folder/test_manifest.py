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
from srbench.run_folder.request import RunSpec

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
    names = ["format", "protocol", "images", "metrics", "models", "settings", "invocations", "groups"]
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
    after = (tmp_path / "manifest.json").stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_the_images_that_were_asked_for():
    assert MANIFEST.scope == ("a", "c")
    assert [MANIFEST.planned(setting) for setting in MANIFEST.settings] == [("a", "c"), ("a",)]
    assert MANIFEST.planned(Setting("m", 0.9)) == ()
    assert replace(MANIFEST, invocations=()).scope == ()


def sharded(*shards, images=22, limit=None, settings=MANIFEST.settings):
    """Manifest of a run whose commands processed these shards."""
    names = tuple(f"image {number}" for number in range(images))
    invocations = []
    for shard in shards:
        request = RunSpec(models=("m", "n"), scale=4, limit=limit, shard=shard)
        call = replace(MANIFEST.invocations[0], settings=settings, images=request.chosen(names), request=request)
        invocations.append(call)
    return replace(MANIFEST, images=names, invocations=tuple(invocations))


def test_the_shards_that_are_missing():
    of_nine = [f"{number}/9" for number in range(1, 10)]
    three = sharded("1/9", "5/9", "9/9")
    rest = "2/9, 3/9, 4/9, 6/9, 7/9, 8/9"
    assert three.missing_shards == f"results of shards {rest} are missing, for 15 of 22 images"
    assert sharded(*of_nine[1:]).missing_shards == "results of shard 1/9 are missing, for 3 of 22 images"
    assert sharded("1/9", limit=2).missing_shards == "results of shard 2/9 are missing, for 1 of 2 images"
    assert sharded("1/30", "2/30", images=2).missing_shards == "", "the remaining shards have no images"
    complete = [sharded(*of_nine), sharded("1/9", None), sharded("1/9", "1/2", "2/2"), sharded(None, limit=3), MANIFEST]
    assert [each.missing_shards for each in complete] == [""] * 5
    other_model = sharded("1/2", settings=MANIFEST.settings[:1]).invocations
    both = replace(sharded("1/2", "2/2"), invocations=(*sharded("1/2", "2/2").invocations, *other_model))
    assert both.missing_shards == ""
    of_one = replace(both, invocations=(*sharded("2/2", settings=MANIFEST.settings[1:]).invocations, *other_model))
    assert of_one.missing_shards == "results of shards 1/2, 2/2 are missing, for 22 of 22 images", (
        "each of another model"
    )


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (None, "no run in it"),
        ("{", "damaged"),
        ("[]", r"damaged \(not an object\)"),
        ('{"name": "web app"}', "has format None, and this srbench reads 7"),
        ('{"format": 8}', "has format 8, and this srbench reads 7"),
        ('{"format": 4}', "has format 4, and this srbench reads 7; use the srbench that made it"),
        ('{"format": 7}', r"manifest\.json: damaged \(protocol: missing"),
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
        (
            lambda f: f["protocol"].update(average="frames"),
            "protocol.average is 'frames'; choose one of images, groups",
        ),
        (lambda f: f["protocol"].update(average="groups"), "means are over groups, and an image is in none"),
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
        (lambda f: f["protocol"].update(scale=0), "protocol.scale is 0; it has to be 1 or more"),
        (
            lambda f: f["protocol"].update(scale="4"),
            r"manifest\.json: damaged \(protocol\.scale: expected int, got str",
        ),
        (lambda f: f["protocol"].update(colour="red"), "unknown key 'colour'"),
        (
            lambda f: f["invocations"][0].update(request={"models": ["m"], "scale": 4, "shard": "4/3"}),
            "'4/3' is not a shard",
        ),
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
    with pytest.raises(RunFolderError, match="has format 4, and this srbench reads 7"):
        RunFolder.read(tmp_path)
