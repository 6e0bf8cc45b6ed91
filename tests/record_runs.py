"""Records of runs: written without images, read, and forged."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path

from builders import metric, model_facts, protocol

from srbench.files.hashes import sha256_file
from srbench.run_folder.folder import RunFolder, score_key
from srbench.run_folder.journal import Journal
from srbench.run_folder.manifest import MANIFEST, content_of
from srbench.run_folder.measurements import measurements_of
from srbench.run_folder.protocol import FORMAT, Invocation, Manifest, Setting
from srbench.run_folder.records import ImageDigest, PairRecord, SampleRecord, ScoreRecord, digest, to_line


@dataclass(frozen=True)
class Made:
    """A run: values[model][metric] is a list with one value per image, in the order of ``pixels``."""

    pixels: dict[str, str]
    """What stands for the pixels of each image, by name."""
    values: dict[str, dict[str, list[float]]]
    metrics: tuple = (metric("psnr"), metric("lpips"))
    dataset: str = "d"
    protocol: dict = field(default_factory=dict)
    digests: dict[str, str] = field(default_factory=dict)
    """Digests of models by label, where they are not made of the label."""
    weights: dict = field(default_factory=dict)
    source: str = ""
    """Digest of the files of precomputed outputs."""
    outputs: str = ""
    """What stands for the pixels of the outputs, where they do not follow from model and source."""


def write_run(path: Path, made: Made) -> Path:
    """Write manifest, records and sums."""
    settings = tuple(Setting(label, None) for label in made.values)
    images, names = tuple(made.pixels), tuple(one.name for one in made.metrics)
    models = tuple(
        model_facts(label, digest=made.digests.get(label, f"digest of {label}"), weights=made.weights.get(label))
        for label in made.values
    )
    invocation = Invocation("srbench run", settings, images, names, "then", "later", "cpu", {}, {})
    facts = protocol(dataset=made.dataset, **made.protocol)
    manifest = Manifest(FORMAT, facts, images, made.metrics, models, settings, (invocation,))
    path.mkdir(parents=True)
    (path / MANIFEST).write_bytes(content_of(manifest))
    folder = RunFolder(path, manifest)
    lines = []
    for number, (image, pixels) in enumerate(made.pixels.items()):
        key = digest("pair", image, pixels)
        lines.append(PairRecord(key, 0, "", image, ImageDigest(f"lr {pixels}", None), ImageDigest(pixels, None)))
        for setting in settings:
            made_by = made.outputs or (setting.model, made.digests.get(setting.model), made.source)
            outputs = (ImageDigest(digest(made_by, pixels), None),)
            sample_key = folder.sample_key(setting, key, made.source)
            sample = SampleRecord(sample_key, 0, "", image, setting.model, None, made.source, outputs, 0.5, None)
            lines.append(sample)
            lines += [
                ScoreRecord(
                    score_key(sample, one),
                    0,
                    "",
                    image,
                    setting.model,
                    None,
                    one.name,
                    one.signature,
                    [made.values[setting.model][one.name][number]],
                    sample.key,
                    0.1,
                )
                for one in made.metrics
                if one.name in made.values[setting.model]
            ]
    for kind in (PairRecord, SampleRecord, ScoreRecord):
        text = "".join(f"{to_line(line)}\n" for line in lines if isinstance(line, kind))
        (path / kind.FILE).write_text(text)
    sum_up(path)
    return path


def sum_up(path: Path) -> None:
    """Write SHA256SUMS of what is there."""
    files = sorted(file for file in path.iterdir() if file.suffix in (".json", ".jsonl") and file.stem != "verified")
    (path / "SHA256SUMS").write_text("".join(f"{sha256_file(file)}  {file.name}\n" for file in files))


def forge_sums(run: Path) -> None:
    """Make SHA256SUMS agree with what was changed: whoever changes values can do that too."""
    changed = RunFolder.read(run)
    Journal(changed).finish(changed.manifest)


def forge_list(run: Path) -> None:
    """Make report.json agree with the files that are there."""
    listed = json.loads((run / "report" / "report.json").read_text())
    listed["files"] = {name: sha256_file(run / "report" / name) for name in listed["files"]}
    (run / "report" / "report.json").write_text(json.dumps(listed, indent=1) + "\n")


def timeless_records(run: str | Path) -> list[str]:
    """What samples.jsonl and rows.jsonl say in the end, sorted: results, not times, memory and invocations."""
    differing = ("seconds", "peak_memory_mb", "invocation", "environment")
    last = {}
    for name in ("samples.jsonl", "rows.jsonl"):
        for record in map(json.loads, (Path(run) / name).read_text().splitlines()):
            place = name, record["key"], record["model"], record.get("image", record.get("subject"))
            last[place] = {key: value for key, value in record.items() if key not in differing}
    return sorted(map(json.dumps, last.values()))


def values_in(run: Path) -> dict[tuple, dict]:
    """All that was measured, by model, temperature and image, and by metric."""
    found: dict[tuple, dict] = {}
    for line in map(json.loads, (run / "rows.jsonl").read_text().splitlines()):
        place = line["model"], line["temperature"], line["subject"]
        found.setdefault(place, {})[line["metric"]] = line["value"]
    return found


def values_that_count(run: Path) -> dict[tuple, object]:
    """The rows of a run: values by model, temperature, image and metric."""
    return {
        (row.setting.model, row.setting.temperature, row.image, name): value
        for row in measurements_of(RunFolder.read(run))
        for name, value in row.values.items()
    }


def by_image(run: Path, model: str) -> dict[str, dict]:
    """All that was measured of one model, which has one temperature, by image."""
    return {image: found for (label, _, image), found in values_in(run).items() if label == model}
