"""Requests as they are kept in a manifest, for readers in other folders."""

from __future__ import annotations

from builders import drawn

from srbench.benchmark.dataset import open_dataset, with_absolute_paths
from srbench.images.io import write_png
from srbench.models.names import ModelSpec
from srbench.run_folder.request import RunSpec


def kept(**values):
    return with_absolute_paths(RunSpec(models=("bicubic",), scale=4, **values))


def test_paths_are_absolute_and_names_stay(tmp_path, monkeypatch):
    """A name comes before a folder of that name, as when it is opened."""
    monkeypatch.chdir(tmp_path)
    for name in ("photos", "set5", "mine"):
        write_png(tmp_path / name / "a.png", drawn(0, 32, 32))
    (tmp_path / "blur.toml").touch()
    (tmp_path / "data.py").touch()
    assert kept(data="photos").data == "photos"
    assert kept(data="set5").data == "set5"
    assert kept(data="./photos").data == str(tmp_path / "photos")
    assert kept(data="mine").data == str(tmp_path / "mine")
    assert kept(data="data.py:Mine").data == f"{tmp_path / 'data.py'}:Mine"
    assert kept(data="mine", degrade="blur.toml").degrade == str(tmp_path / "blur.toml")
    paired = kept(data=None, hr="mine", lr="photos")
    assert (paired.hr, paired.lr) == (str(tmp_path / "mine"), str(tmp_path / "photos"))
    assert len(open_dataset(kept(data="photos"))) == 22
    assert len(open_dataset(kept(data="./photos"))) == 1


def test_models_have_absolute_paths_and_their_labels(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("net.py", "4x.pth", "mine.pth"):
        (tmp_path / name).touch()
    (tmp_path / "outputs").mkdir()
    here = {
        "srflow": "srflow",
        "esrgan@0.7+consistent": "esrgan@0.7+consistent",
        "srflow:mine.pth": f"srflow:{tmp_path}/mine.pth",
        "srflow:released": "srflow:released",
        "net.py:Net": f"{tmp_path}/net.py:Net",
        "a=net.py:Net:mine.pth+consistent": f"a={tmp_path}/net.py:Net:{tmp_path}/mine.pth+consistent",
        "package.module:Net": "package.module:Net",
        "4x.pth": f"{tmp_path}/4x.pth",
        "b=outputs": f"b={tmp_path}/outputs",
    }
    located = with_absolute_paths(RunSpec(models=tuple(here), scale=4)).models
    assert dict(zip(here, located, strict=True)) == here
    assert [ModelSpec.parse(text).label for text in here] == [ModelSpec.parse(text).label for text in located]
