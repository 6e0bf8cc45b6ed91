import json
from dataclasses import replace

import pytest
from builders import metric, model_facts, protocol

from srbench.interfaces import WeightsInfo
from srbench.run_folder import RunFolderError
from srbench.run_folder.manifest import content_of, now, read_manifest, write_manifest
from srbench.run_folder.protocol import FORMAT, Invocation, Manifest, Setting
from srbench.system.machine import hardware, software

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
    assert list(facts) == ["format", "protocol", "images", "metrics", "models", "settings", "invocations"]
    assert facts["models"][0]["weights"] == {
        "sha256": "f00", "licence": "CC0-1.0", "trained_on": "flowers", "parameters": 12, "losses": {},
        "temperature": None,
    }  # fmt: skip
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


def of_format_2():
    """The same as an earlier srbench wrote it, but for the second command: the second of two parts of all images."""
    facts = json.loads(content_of(MANIFEST))
    facts["format"] = 2
    facts["settings"] = [setting | {"limit": None} for setting in facts["settings"]]
    for invocation, limit, shard in zip(facts["invocations"], (1, None, None), (1, 2, 1), strict=True):
        del invocation["images"]
        invocation["settings"] = [setting | {"limit": limit} for setting in invocation["settings"]]
        invocation["shard"] = {"number": shard, "of": shard}
    return facts


def test_limits_and_shards_of_format_2_become_names(tmp_path):
    (tmp_path / "manifest.json").write_text(json.dumps(of_format_2()))
    found = read_manifest(tmp_path)
    assert [one.images for one in found.invocations] == [("a",), ("τ b",), ()]
    assert replace(found, invocations=()) == replace(MANIFEST, invocations=())
    before = (tmp_path / "manifest.json").read_bytes()
    write_manifest(tmp_path, found)
    assert (tmp_path / "manifest.json").read_bytes() == before, "it says the same"


def test_signatures_of_format_3_state_no_number_of_samples(tmp_path):
    metrics = (metric("psnr"), metric("sigma"), metric("own", signature="OWN|code 1234"))
    facts = json.loads(content_of(replace(MANIFEST, metrics=metrics))) | {"format": 3}
    (tmp_path / "manifest.json").write_text(json.dumps(facts))
    assert [one.signature for one in read_manifest(tmp_path).metrics] == [
        "PSNR|RGB", f"SIGMA|ddof1|n{MANIFEST.protocol.samples}", "OWN|code 1234",
    ]  # fmt: skip


@pytest.mark.parametrize("path", [("images",), ("settings",), ("settings", 0, "limit"), ("invocations", 0, "shard")])
def test_damaged_manifests_of_format_2(tmp_path, path):
    for wrong in (True, -1, "x", [3], {"number": 0, "of": 0}):
        facts = inner = of_format_2()
        for key in path[:-1]:
            inner = inner[key]
        inner[path[-1]] = wrong
        (tmp_path / "manifest.json").write_text(json.dumps(facts))
        if path[-1] == "limit":
            assert read_manifest(tmp_path).scope == ("a", "τ b"), "the limit of the command tells"
            continue
        with pytest.raises(RunFolderError) as caught:
            read_manifest(tmp_path)
        assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (None, "no run in it"),
        ("{", "damaged"),
        ("[]", r"damaged \(not an object\)"),
        ('{"name": "web app"}', "has format None, and this srbench reads 2 to 4"),
        ('{"format": 5}', "has format 5, and this srbench reads 2 to 4"),
        ('{"format": 2}', r"manifest\.json: damaged \(KeyError\('settings'\)\)"),
        ('{"format": 3}', r"manifest\.json: damaged \(KeyError\('metrics'\)\)"),
        ('{"format": 4}', r"manifest\.json: damaged \(protocol: missing"),
    ],
)
def test_what_is_no_run(tmp_path, content, fault):
    if content is not None:
        (tmp_path / "manifest.json").write_text(content)
    with pytest.raises(RunFolderError, match=fault):
        read_manifest(tmp_path)


def rewritten(run, change):
    """The manifest of a run folder, with the facts changed in place."""
    write_manifest(run, MANIFEST)
    facts = json.loads((run / "manifest.json").read_text())
    change(facts)
    (run / "manifest.json").write_text(json.dumps(facts))


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (lambda f: f["models"][0].update(label="../m"), "'../m' is no name of a model"),
        (lambda f: f["images"].append(".."), r"'\.\.' is no name of an image"),
        (lambda f: f["images"].append("a"), "an image is there twice"),
        (lambda f: f["metrics"].append(f["metrics"][0]), "a metric is there twice"),
        (lambda f: f["settings"][0].update(model="x"), "a setting of 'x', which is none of its models"),
        (lambda f: f["settings"][0].update(temperature=-1), "-1.0 is no temperature"),
        (lambda f: f["settings"][0].update(limit=2), "unknown key 'limit'"),
        (lambda f: f["settings"].append(f["settings"][0]), "two settings share a folder"),
        (lambda f: f["protocol"].update(scale=0), "scale, samples and kept samples have to be 1 or more"),
        (lambda f: f["protocol"].update(scale="4"), r"manifest\.json: damaged \(protocol\.scale: '4' is no int"),
        (lambda f: f["protocol"].update(colour="red"), "unknown key 'colour'"),
    ],
)
def test_what_no_run_would_have_written(tmp_path, change, fault):
    rewritten(tmp_path, change)
    with pytest.raises(RunFolderError, match=fault) as caught:
        read_manifest(tmp_path)
    assert str(caught.value).endswith("restore it, or run again with another --out")
    assert "\n" not in str(caught.value)
