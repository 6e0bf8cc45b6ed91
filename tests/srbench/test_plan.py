import shlex
from dataclasses import replace

import pytest

from srbench.images import write_png
from srbench.plan import PlanError, RunSpec, WorkItem, open_bench, plan

ITEM = WorkItem(
    model="m",
    model_digest="1",
    dataset="d",
    image="a",
    image_digest="2",
    scale=4,
    temperature=0.8,
    samples=5,
    seed=0,
    tile=None,
    metrics=("psnr",),
)
CHANGES = {
    "model": "n",
    "model_digest": "3",
    "dataset": "e",
    "image": "b",
    "image_digest": "4",
    "scale": 8,
    "temperature": None,
    "samples": 6,
    "seed": 1,
    "tile": 64,
    "metrics": ("psnr", "ssim"),
    "suite": "other@1",
}


@pytest.mark.parametrize("field", CHANGES)
def test_the_key_depends_on_every_field(field):
    assert replace(ITEM, **{field: CHANGES[field]}).key != ITEM.key
    assert replace(ITEM).key == ITEM.key


@pytest.mark.parametrize("field", CHANGES)
def test_samples_depend_on_what_is_drawn_not_on_what_is_measured(field):
    same = replace(ITEM, **{field: CHANGES[field]}).generator_seed == ITEM.generator_seed
    assert same == (field in ("model", "dataset", "image", "tile", "metrics", "suite"))


def test_seeds_fit_a_generator():
    assert 0 <= ITEM.generator_seed < 2**63


def test_the_command_makes_the_same_spec(command, monkeypatch):
    import srbench.run

    specs = []

    def record(spec):
        specs.append(spec)
        raise KeyboardInterrupt

    monkeypatch.setattr(srbench.run, "run", record)
    full = RunSpec(
        models=("bicubic", "mine=a folder"), scale=8, data="b", limit=3, crop=64, metrics=("psnr",),
        temperatures=(0.0, 0.123456789), samples=2, seed=7, device="cpu", out="runs/x",
    )  # fmt: skip
    paired = RunSpec(models=("srflow",), scale=4, data=None, hr="h", lr="l")
    for spec in (full, paired, RunSpec(models=("bicubic",), scale=2)):
        command(*shlex.split(spec.command())[1:])
        assert specs.pop() == spec
    assert RunSpec(models=("bicubic",), scale=2).command() == "srbench run --models bicubic --scale 2"


def test_items_are_ordered_picture_by_picture(photos, models):
    spec = RunSpec(
        models=(f"{models}:Nearest", f"{models}:Noisy"), scale=4, data=str(photos), limit=2, metrics=("psnr",),
        temperatures=(0.0, 0.8), samples=3,
    )  # fmt: skip
    items, failures = plan(open_bench(spec))
    assert failures == []
    assert [(item.image, item.setting, item.samples) for item in items] == [
        ("a", "Nearest", 1),
        ("a", "Noisy-t0", 3),
        ("a", "Noisy-t0.8", 3),
        ("b", "Nearest", 1),
        ("b", "Noisy-t0", 3),
        ("b", "Noisy-t0.8", 3),
    ]
    assert len({item.key for item in items}) == 6


def test_a_missing_result_is_named_and_the_others_are_planned(photos, tmp_path):
    results = tmp_path / "results"
    results.mkdir()
    (photos / "a.png").rename(results / "a.png")
    (results / "c.png").write_bytes((photos / "c.png").read_bytes())
    spec = RunSpec(models=(f"theirs={results}", "bicubic"), scale=4, data=str(photos), metrics=("psnr",))
    items, failures = plan(open_bench(spec))
    assert [(item.image, item.model) for item in items] == [
        ("b", "bicubic"), ("c", "theirs"), ("c", "bicubic"), ("d", "bicubic"),
    ]  # fmt: skip
    assert [failure.partition(";")[0] for failure in failures] == [
        f"theirs: {results}: no result named b",
        f"theirs: {results}: no result named d",
    ]


def test_a_changed_result_is_another_item(photos, tmp_path):
    spec = RunSpec(models=(f"theirs={photos}",), scale=4, data=str(photos), metrics=("psnr",))
    before, _ = plan(open_bench(spec))
    results = tmp_path / "results"
    results.mkdir()
    for path in photos.iterdir():
        (results / path.name).write_bytes(path.read_bytes())
    (results / "b.png").write_bytes((photos / "a.png").read_bytes())
    after, _ = plan(open_bench(replace(spec, models=(f"theirs={results}",))))
    assert [old.key == new.key for old, new in zip(before, after, strict=True)] == [True, False, True, True]


def test_labels_are_told_apart(photos):
    spec = RunSpec(models=("bicubic", "x=bicubic", "bicubic=bicubic"), scale=4, data=str(photos), metrics=("psnr",))
    with pytest.raises(PlanError, match="the label bicubic is also that of bicubic; choose another"):
        open_bench(spec)
    with pytest.raises(PlanError, match="the label hr is reserved"):
        open_bench(replace(spec, models=("hr=bicubic",)))


def test_a_registered_data_set_comes_before_a_folder(tmp_path, monkeypatch):
    import torch

    monkeypatch.chdir(tmp_path)
    write_png(tmp_path / "photos" / "a.png", torch.zeros(3, 8, 8, dtype=torch.uint8))
    assert len(open_bench(RunSpec(models=("bicubic",), scale=4, data="photos", metrics=("psnr",))).dataset) == 22
    assert len(open_bench(RunSpec(models=("bicubic",), scale=4, data="./photos", metrics=("psnr",))).dataset) == 1
