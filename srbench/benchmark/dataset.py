"""The dataset of a request, and the keys of its pairs. Torch is not loaded until an image is read."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path

from srbench.benchmark import BenchmarkError, RequestError
from srbench.data import MATLAB_BICUBIC
from srbench.data.benchmark_sets.fetch import fetched_set
from srbench.data.benchmark_sets.table import benchmark_sets
from srbench.data.datasets import LRFolder, PairedFolders, cropped, groups, has_hr, lr_origin, open_folder
from srbench.data.degradations import DEFAULT as BICUBIC
from srbench.interfaces import Dataset
from srbench.metrics.suite import Suite
from srbench.models import names
from srbench.plugins.code_digest import package_digest
from srbench.plugins.identity import source_digest
from srbench.plugins.registry import call, load_dataset, registered
from srbench.run_folder.protocol import KEPT, Protocol
from srbench.run_folder.records import digest
from srbench.run_folder.request import GROUPS, RunSpec
from srbench.words import FILE_NAME, is_file_name, unknown


def open_dataset(spec: RunSpec, given: Dataset | None = None) -> Dataset:
    """Open the dataset of a run, or use ``given``, and apply the crop and degradation of the run.

    Downloads a benchmark set that is not on this machine. Raises SRBenchError for an unknown dataset, for image names
    that cannot be file names, for a crop or degradation of a dataset without HR, for a degradation of a dataset with
    its own LR, and at scale 1 without any degradation; RequestError for means over groups if an image is in none.
    """
    degradation = None
    if spec.degrade is not None and (spec.degrade != BICUBIC or spec.scale == 1):
        from srbench.data.degradations.read import degraded, read_degradation  # imports torch

        degradation = read_degradation(str(spec.degrade))
    dataset = _named_dataset(spec) if given is None else given
    if missing := [name for name in ("name", "__len__", "__iter__", "read", "digest") if not hasattr(dataset, name)]:
        raise BenchmarkError(f"dataset {type(dataset).__name__} has no {' and no '.join(missing)}; add what is missing")
    if not has_hr(dataset) and (option := next((name for name in ("degrade", "crop") if getattr(spec, name)), None)):
        does = {"degrade": "makes LR from HR", "crop": "is a size in HR pixels"}[option]
        raise BenchmarkError(f"{option} {does}, but {dataset.name} has only LR images; leave out --{option}")
    if spec.degrade is not None and isinstance(dataset, PairedFolders):
        raise BenchmarkError(
            f"degrade makes LR from HR, but {dataset.name} has LR images; give only its HR folder as data"
        )
    if spec.scale == 1 and spec.degrade is None and lr_origin(dataset) == MATLAB_BICUBIC:
        raise BenchmarkError(
            f"at scale 1, bicubic downscaling leaves {dataset.name} as it is; degrade it with --degrade FILE.toml, or "
            "give pairs with --hr and --lr"
        )
    _check_names(dataset)
    if spec.average == GROUPS:
        require_groups(dataset, groups(dataset), dataset.name)
    if spec.crop is not None:
        dataset = cropped(dataset, spec.scale, spec.crop)
    return dataset if degradation is None else degraded(dataset, spec.scale, degradation)


def require_groups(images: Iterable[str], groups: Mapping[str, str], where: object) -> None:
    """Raise RequestError, which names an image, unless every image is in a group."""
    if (image := next((image for image in images if image not in groups), None)) is not None:
        raise RequestError(
            f"--average groups: {image} of {where} is in no group; put the images of each clip, person or other group "
            "into a subfolder, or leave the option out"
        )


def protocol_of(spec: RunSpec, suite: Suite, dataset: Dataset) -> Protocol:
    """Return the protocol of a request, given its suite and dataset."""
    return Protocol(
        suite=suite.label,
        dataset=dataset.name,
        lr=lr_origin(dataset),
        scale=spec.scale,
        crop=spec.crop,
        samples=spec.samples,
        seed=spec.seed,
        tile=spec.tile,
        quantize=suite.quantize,
        columns=suite.columns,
        # A suite that states a larger number of samples has metrics of the whole set, so all of them are saved.
        kept=max(KEPT, spec.samples) if (suite.samples or 0) > KEPT else KEPT,
        average=spec.average,
    )


def _named_dataset(spec: RunSpec) -> Dataset:
    """Open the dataset that a run names, before crop and degradation."""
    if spec.lr is not None:
        low = Path(spec.lr)
        return LRFolder(low, spec.scale) if spec.hr is None else PairedFolders(Path(spec.hr), low, spec.scale)
    if spec.data is None:
        raise BenchmarkError("no data: name a dataset, a folder of HR images, a folder of LR images, or both folders")
    is_code = spec.data.endswith(".py") and not Path(spec.data).is_dir()
    if spec.data in registered("datasets") or is_code or (":" in spec.data and not Path(spec.data).exists()):
        return load_dataset(spec.data, spec.scale)
    sets = benchmark_sets()
    if spec.data in sets:
        return fetched_set(spec.data, spec.scale)
    path = Path(spec.data)
    if not path.exists():
        if path.name != spec.data:  # a path, not the name of a dataset
            raise BenchmarkError(f"{spec.data}: missing, not a folder of images; check the path")
        names = [*registered("datasets"), *sets]
        raise BenchmarkError(f"{spec.data}: no folder of that name, and {unknown('dataset', spec.data, names)}")
    # A folder that happens to share a set's name is not that set, whose images are verified by hash.
    name = f"{path.resolve().name} (folder)" if path.resolve().name in sets else None
    return open_folder(path, spec.scale, own_lr=spec.degrade is None, name=name)


def same_name_as_a_folder(data: str | None) -> str:
    """Message if ``data`` names a dataset and there is also a folder of that name, which is not read; else empty."""
    is_dataset = data in registered("datasets") or data in benchmark_sets()
    if data is None or not is_dataset or not Path(data).is_dir():
        return ""
    return f"{data} is the dataset of that name, not the folder here; for the folder, write ./{data}"


def with_absolute_paths(spec: RunSpec) -> RunSpec:
    """Return the request with absolute paths to images, degradation, suite and models, valid from any folder.

    Names of registered datasets and benchmark sets are not paths, even if a folder of that name exists.
    """
    data = spec.data
    if data is not None and data not in registered("datasets") and data not in benchmark_sets():
        file, _, name = data.rpartition(":")
        data = f"{Path(file).resolve()}:{name}" if file.endswith(".py") else names.absolute(data)
    return replace(
        spec,
        models=tuple(map(names.with_absolute_paths, spec.models)),
        data=data,
        hr=spec.hr and names.absolute(spec.hr),
        lr=spec.lr and names.absolute(spec.lr),
        degrade=_absolute_degradation(spec.degrade),
        suite=names.absolute(spec.suite) if spec.suite.endswith(".toml") else spec.suite,
    )


def _absolute_degradation(text: str | None) -> str | None:
    file, plus, seed = (text or "").partition("+seed=")
    return names.absolute(file) + plus + seed if file.endswith(".toml") else text


def _check_names(dataset: Dataset) -> None:
    if dataset.name.encode(errors="ignore").decode() != dataset.name:
        raise BenchmarkError(f"dataset {dataset.name}: its name is not UTF-8; rename the folder")
    names = list(dataset)
    unusable = [name for name in (*names, *groups(dataset).values()) if not is_file_name(name)]
    if unusable or len(set(names)) < len(names):
        listed = ", ".join(map(repr, unusable))
        fault = f"{listed} cannot be {FILE_NAME}" if unusable else "two images have the same name"
        raise BenchmarkError(f"dataset {dataset.name}: {fault}; rename the image")


def pair_key_of(dataset: Dataset) -> Callable[[str], str]:
    """Return a function from an image's name to the key of its pair.

    The key is a digest of what the dataset states for the image and of the code that reads and downscales it. The
    function raises if the dataset cannot digest the image.
    """
    codes = _codes(dataset)

    def key(image: str) -> str:
        stated = call(f"{image}: digest of dataset {dataset.name}", dataset.digest, image)
        return digest("pair", stated, *codes)

    return key


def _codes(dataset: Dataset) -> list[str]:
    """Return digests of the code that makes pairs: the dataset, the dataset that it crops, reading and downscaling."""
    whole = getattr(dataset, "whole", None)
    inner = [] if whole is None else _codes(whole)
    return [source_digest(dataset) or "unknown", package_digest("srbench.data.datasets"), *inner]
