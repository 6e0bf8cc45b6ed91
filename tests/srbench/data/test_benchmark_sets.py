"""Benchmark sets by name: known by their pixels, fetched from several addresses, refused in one line."""

from __future__ import annotations

import errno
import os
import shutil
import tarfile
import threading
import zipfile

import pytest
import torch
from builders import flat

from srbench.benchmark import BenchmarkError
from srbench.benchmark.dataset import open_dataset
from srbench.data import MATLAB_BICUBIC, DataError
from srbench.data.benchmark_sets import fetch, table
from srbench.data.benchmark_sets.fetch import fetch_set
from srbench.data.benchmark_sets.table import (
    BenchmarkSet,
    benchmark_sets,
    check_files,
    files_digest,
    open_set,
    pixels_digest,
    set_folder,
)
from srbench.files.atomic import write_whole
from srbench.images.io import write_png
from srbench.run_folder.manifest import read_manifest
from srbench.run_folder.request import RunSpec
from srbench.weights.download import DownloadError


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "srbench" / "data"


@pytest.fixture
def tiny(monkeypatch, cache, tmp_path):
    """A set of two images, with its files and some changes of what the table says."""
    files = {}
    for level, name in enumerate(("a", "b")):
        write_png(tmp_path / "source" / f"{name}.png", flat(9 * level))
        files[name] = tmp_path / "source" / f"{name}.png"

    def call(**changes):
        facts = {
            "title": "Tiny",
            "images": 2,
            "licence": "CC0-1.0",
            "page": "https://tiny.example",
            "pixels": pixels_digest(files),
        }
        known = {"tiny": BenchmarkSet(**facts | changes)}
        for module in (table, fetch):
            monkeypatch.setattr(f"{module.__name__}.find_set", lambda name: known[name])
        monkeypatch.setattr("srbench.benchmark.dataset.benchmark_sets", lambda: known)
        return files

    return call


@pytest.fixture
def served(monkeypatch):
    """Addresses that give bytes; all others fail. What was asked for is noted."""

    def call(contents):
        asked = []

        def download(address, file, title):
            if file.exists():
                return
            asked.append(address)
            if address not in contents:
                raise DownloadError("answered 404 Not Found")
            write_whole(file, contents[address])

        monkeypatch.setattr(fetch, "download", download)
        return asked

    return call


def test_one_by_one_from_the_second_address(tiny, served, cache, tmp_path):
    files = tiny(addresses=("https://one/{name}.png", "https://two/{number:03}_HR.png"), names=("a", "b"))
    asked = served({f"https://two/00{n}_HR.png": files[name].read_bytes() for n, name in ((1, "a"), (2, "b"))})
    assert fetch_set("tiny") == cache / "tiny"
    assert asked == ["https://one/a.png", "https://two/001_HR.png", "https://two/002_HR.png"]
    assert list(open_set("tiny", 4)) == ["a", "b"]
    assert open_set("tiny", 4).lr_origin == MATLAB_BICUBIC
    assert fetch_set("tiny") == cache / "tiny"
    assert len(asked) == 3, "a set on this machine is not fetched again"


def test_a_broken_download_goes_on(tiny, served, cache):
    files = tiny(addresses=("https://one/{name}.png",), names=("a", "b"))
    served({"https://one/a.png": files["a"].read_bytes()})
    with pytest.raises(
        DataError, match=r"tiny could not be fetched \(https://one/\{name\}\.png answered 404 Not Found\)"
    ):
        fetch_set("tiny")
    assert not (cache / "tiny").exists()
    asked = served({"https://one/b.png": files["b"].read_bytes()})
    fetch_set("tiny")
    assert asked == ["https://one/b.png"]


@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_archives_are_unpacked_by_name_alone(tiny, served, tmp_path, cache, kind):
    files, archive = tiny(addresses=("https://one/all",)), tmp_path / "all"
    (tmp_path / "readme.txt").write_text("text")
    with zipfile.ZipFile(archive, "w") if kind == "zip" else tarfile.open(archive, "w:gz") as packed:
        add = packed.write if kind == "zip" else packed.add
        for file, name in (
            (files["a"], "../../a.png"),
            (files["b"], "HR/b.png"),
            (tmp_path / "readme.txt", "readme.txt"),
        ):
            add(file, name)
    served({"https://one/all": archive.read_bytes()})
    folder = fetch_set("tiny")
    assert sorted(path.name for path in folder.glob("*.png")) == ["a.png", "b.png"]
    assert not list(cache.parent.glob("*.png"))


def test_an_archive_that_a_full_disk_cannot_hold_is_kept(tiny, served, cache, tmp_path, monkeypatch):
    files, archive = tiny(addresses=("https://one/all",)), tmp_path / "all"
    with zipfile.ZipFile(archive, "w") as packed:
        for name, file in files.items():
            packed.write(file, f"{name}.png")
    asked = served({"https://one/all": archive.read_bytes()})

    def fill_the_disk(source, file):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(shutil, "copyfileobj", fill_the_disk)
        with pytest.raises(OSError, match="No space left") as caught:
            fetch_set("tiny")
    assert caught.value.filename == str(cache / "tiny")
    assert fetch_set("tiny") == cache / "tiny"
    assert asked == ["https://one/all"]
    assert sorted(path.name for path in cache.iterdir()) == [".tiny.lock", "tiny"]


@pytest.mark.filterwarnings("ignore:.*another process is downloading")
def test_two_commands_at_once_download_once(tiny, served, cache, monkeypatch):
    files = tiny(addresses=("https://one/{name}.png",), names=("a", "b"))
    asked = served({f"https://one/{name}.png": file.read_bytes() for name, file in files.items()})
    found, download = [], fetch.download
    second = threading.Thread(target=lambda: found.append(fetch_set("tiny")))

    def begin_the_second(*request):
        if not asked:
            download(*request)
            second.start()
            second.join(0.5)  # it waits for the first; if it did not, it would be done
        else:
            download(*request)

    monkeypatch.setattr(fetch, "download", begin_the_second)
    found.append(fetch_set("tiny"))
    second.join()
    assert found == 2 * [cache / "tiny"]
    assert asked == ["https://one/a.png", "https://one/b.png"]


def test_other_pixels_are_refused(tiny, served, cache):
    files = tiny(addresses=("https://one/{name}.png",), names=("a", "b"))
    served({"https://one/a.png": files["a"].read_bytes(), "https://one/b.png": files["a"].read_bytes()})
    with pytest.raises(DataError, match=r"sent unexpected data .*differ from tiny in their pixels"):
        fetch_set("tiny")
    assert not (cache / "tiny").exists()


def test_put_there_by_hand(tiny, cache):
    tiny()
    with pytest.raises(
        DataError, match=r"tiny has no direct download; get it from https://tiny\.example and put its 2"
    ):
        fetch_set("tiny")
    write_png(cache / "tiny" / "HR" / "x.png", flat(0))
    with pytest.raises(DataError, match="has 1 images, and tiny has 2"):
        open_set("tiny", 4)
    write_png(cache / "tiny" / "HR" / "y.png", flat(9))
    assert list(open_set("tiny", 4)) == ["x", "y"], "whatever they are called, and however they are laid out"
    write_png(cache / "tiny" / "HR" / "y.png", flat(8, 16))
    with pytest.raises(DataError, match="differ from tiny in their pixels"):
        open_set("tiny", 4)


def test_the_first_of_a_larger_folder(tiny, cache):
    tiny(pixels=None, of=3)
    for level, name in enumerate("pqr"):
        write_png(cache / "tiny" / f"{name}.png", flat(level))
    assert list(open_set("tiny", 4)) == ["p", "q"]


def test_clips_are_subfolders(tiny, cache):
    """Of a set of clips, an error names the folder of the set, not that of a clip."""
    tiny(images=3, pixels=None)
    for name in ("city/0", "city/1", "walk/0"):
        write_png(cache / "tiny" / f"{name}.png", flat(1))
    dataset = open_set("tiny", 4)
    assert list(dataset) == ["city-0", "city-1", "walk-0"]
    assert dataset.groups == {"city-0": "city", "city-1": "city", "walk-0": "walk"}
    write_png(cache / "tiny" / "walk" / "1.png", flat(1))
    with pytest.raises(DataError, match=f"^{cache / 'tiny'}: has 4 images, and tiny has 3"):
        open_set("tiny", 4)


@pytest.fixture
def pairs(tiny, tmp_path):
    """A set of two pairs of scale 2, and its files by folder and name."""
    files = {}
    for folder, side in (("test_HR", 8), ("test_LR", 4)):
        for level, name in enumerate("ab"):
            files[folder, name] = tmp_path / "pairs" / folder / f"{name}.png"
            write_png(files[folder, name], flat(9 * level + side, side))
    hr, lr = ({name: files[folder, name] for name in "ab"} for folder in ("test_HR", "test_LR"))
    tiny(
        pixels=pixels_digest(hr, lr),
        has="pairs",
        scale=2,
        names=("a", "b"),
        addresses=("https://one/{folder}/{name}.png",),
    )
    return files


def test_pairs_keep_their_lr(pairs, served, cache):
    served({f"https://one/{folder}/{name}.png": path.read_bytes() for (folder, name), path in pairs.items()})
    dataset = open_dataset(RunSpec((), 2, "tiny"))
    assert (dataset.name, list(dataset)) == ("tiny", ["a", "b"])
    assert torch.equal(dataset.read("b").lr, torch.full((3, 4, 4), 13 / 255))
    with pytest.raises(DataError, match="tiny has pairs of scale 2, not 4; use --scale 2"):
        open_set("tiny", 4)
    one, two = (cache / "tiny" / "test_LR" / f"{name}.png" for name in "ab")
    one.rename(two.with_name("c.png"))
    two.rename(one)
    two.with_name("c.png").rename(two)
    with pytest.raises(DataError, match="its images differ from tiny in their pixels"):
        open_set("tiny", 2)


def test_lr_alone_is_known_by_its_files(tiny, cache, tmp_path, command):
    files = tiny(
        has="LR", pixels=None, files=files_digest({name: tmp_path / "source" / f"{name}.png" for name in "ab"})
    )
    with pytest.raises(DataError, match=r"put its 2 LR images into"):
        open_dataset(RunSpec((), 4, "tiny"))
    (cache / "tiny").mkdir(parents=True)
    for name, path in files.items():
        (cache / "tiny" / f"{name}.png").write_bytes(path.read_bytes())
    dataset = open_dataset(RunSpec((), 4, "tiny"))
    assert (dataset.name, list(dataset), dataset.read("a").has_hr) == ("tiny", ["a", "b"], False)
    request = "run --models bicubic --scale 4 --data tiny --workers 1 --metrics"
    done = command(*request.split(), "lr_psnr", "--out", "run")
    assert done.code == 0, done.err
    assert read_manifest(tmp_path / "run").protocol.dataset == "tiny"
    assert command(*request.split(), "psnr").code == 1
    write_png(cache / "tiny" / "a.png", flat(7))
    with pytest.raises(DataError, match=r"differ from tiny in their bytes; .*, or measure them as a folder: --lr"):
        open_set("tiny", 4)


def test_offline_is_one_line(command, monkeypatch, cache):
    monkeypatch.setenv("SRBENCH_OFFLINE", "1")
    done = command("run", "--models", "bicubic", "--scale", 4, "--data", "set5")
    assert done.code == 1
    assert done.err.splitlines()[-1] == (
        "srbench: set5 is not on this machine, and SRBENCH_OFFLINE is set; get it from "
        f"{benchmark_sets()['set5'].page} and put its 5 HR images into {set_folder('set5')}"
    )
    assert not (cache / "set5").exists()
    listed = command("list", "datasets").out
    assert all(name in listed for name in benchmark_sets())
    assert "noncommercial" in listed


def test_a_folder_of_that_name_is_not_the_set(tiny, tmp_path):
    tiny()
    (tmp_path / "source").rename(tmp_path / "tiny")
    assert open_dataset(RunSpec((), 4, str(tmp_path / "tiny"))).name == "tiny (folder)"
    with pytest.raises(BenchmarkError, match="did you mean tiny"):
        open_dataset(RunSpec((), 4, "tinny"))


def test_the_entries_of_the_table_are_complete():
    sets = benchmark_sets()
    for entry in sets.values():
        assert (entry.has == "pairs") == (entry.scale is not None)
        assert entry.names == () or len(entry.names) == entry.images
        assert all(digest is None or len(digest) == 64 for digest in (entry.pixels, entry.files))
        assert all(address.startswith(("http://", "https://")) for address in entry.addresses)


@pytest.fixture
def laid_out(tmp_path):
    """A folder with HR 18 x 17 and LR 4 x 4 under the names of a layout."""

    def call(hr, lr, name="Set2"):
        for place, stem in enumerate(("a", "b")):
            write_png(tmp_path / name / hr.format(stem), torch.full((3, 18, 17), 60 * place, dtype=torch.uint8))
            if lr:
                write_png(tmp_path / name / lr.format(stem), flat(60 * place + 1, 4))
        return tmp_path / name

    return call


LAYOUTS = [
    ("HR/{}.png", "LR_bicubic/X4/{}x4.png", "HR", "LR_bicubic/X4"),
    ("image_SRF_4/{}_SRF_4_HR.png", "image_SRF_4/{}_SRF_4_LR.png", "image_SRF_4", "image_SRF_4"),
    ("GTmod12/{}.png", "LRbicx4/{}.png", "GTmod12", "LRbicx4"),
    ("test_HR/{}.png", "test_LR/{}.png", "test_HR", "test_LR"),
]


@pytest.mark.parametrize(("hr", "lr", "known_by", "lr_folder"), LAYOUTS)
def test_layouts_of_other_toolkits(laid_out, hr, lr, known_by, lr_folder):
    folder = laid_out(hr, lr)
    dataset = open_dataset(RunSpec((), 4, str(folder)))
    assert (dataset.name, list(dataset)) == (f"Set2 ({known_by})", ["a", "b"])
    assert dataset.lr_origin == f"from {lr_folder}, paired with HR by name"
    pair = dataset.read("b")
    assert pair.hr.shape == (3, 16, 16), "HR is cropped as LR was made"
    assert torch.equal(pair.lr, torch.full((3, 4, 4), 61 / 255))
    centre = open_dataset(RunSpec((), 4, str(folder), crop=8)).read("b")
    assert (pair.uncropped, centre.hr.shape, centre.uncropped) == ((18, 17), (3, 8, 8), (18, 17))
    made = open_dataset(RunSpec((), 4, str(folder), degrade="bicubic"))
    assert (made.name, made.lr_origin) == (f"Set2 ({known_by})", MATLAB_BICUBIC)
    assert made.read("b").name == "b"
    assert torch.equal(made.read("b").lr, torch.full((3, 4, 4), 60 / 255))
    if known_by not in ("image_SRF_4", "test_HR"):
        assert open_dataset(RunSpec((), 2, str(folder))).lr_origin == MATLAB_BICUBIC, "there is no LR of that scale"


def test_files_of_a_layout_without_a_partner_are_named(laid_out):
    folder = laid_out("HR/{}.png", "LR_bicubic/X4/{}x4.png")
    (folder / "LR_bicubic/X4/bx4.png").rename(folder / "LR_bicubic/X4/cx4.png")
    with pytest.raises(Exception, match=r"lacks b.*; .* lacks c"):
        open_dataset(RunSpec((), 4, str(folder)))


def test_selfexsr_of_another_scale(laid_out):
    folder = laid_out("image_SRF_4/{}_SRF_4_HR.png", "image_SRF_4/{}_SRF_4_LR.png")
    with pytest.raises(Exception, match="has image_SRF_4 but nothing for scale 2; name the folder whose HR to use"):
        open_dataset(RunSpec((), 2, str(folder)))
    write_png(folder / "image_SRF_4" / "a_SRF_4_bicubic.png", flat(0, 16))
    dataset = open_dataset(RunSpec((), 2, str(folder / "image_SRF_4")))
    assert list(dataset) == ["a", "b"], "results beside the pairs are none"
    assert dataset.lr_origin == MATLAB_BICUBIC


def test_a_set_in_a_folder_that_cannot_be_written_is_opened(tmp_path):
    write_png(tmp_path / "a.png", flat(1))
    files = {"a": tmp_path / "a.png"}
    entry = BenchmarkSet("A", 1, "", "", pixels=pixels_digest(files))
    (tmp_path / ".srbench.json").mkdir()  # in the way for every user, root too
    assert check_files("a", entry, files) == files
