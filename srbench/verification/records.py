"""Files against their hashes, records against the manifest, the manifest against what its commands requested."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from itertools import product

from srbench.benchmark.dataset import open_dataset, pair_key_of, protocol_of
from srbench.benchmark.opened import lacking_in
from srbench.benchmark.sampler import read_pair
from srbench.data.benchmark_sets.table import benchmark_sets, is_downloaded
from srbench.data.datasets import groups
from srbench.files.hashes import sha256_file
from srbench.images.io import pixels_sha256, quantize_floor
from srbench.interfaces import Dataset, MetricInfo, Need, SRBenchError
from srbench.metrics.loading import described
from srbench.metrics.suite import Suite, full_names, read_suite
from srbench.run_folder.folder import SUMS, RunFolder, read_sums
from srbench.run_folder.manifest import MANIFEST
from srbench.run_folder.protocol import Protocol, Setting
from srbench.run_folder.records import KINDS, EnvironmentRecord, PairRecord, SampleRecord, ScoreRecord
from srbench.run_folder.request import RunSpec
from srbench.verification.findings import Findings
from srbench.words import listed, size_of


def check_sums(folder: RunFolder, findings: Findings) -> None:
    """Compare records and manifest with SHA256SUMS, unless the last command stopped before it wrote the file."""
    if folder.manifest.invocations and folder.manifest.invocations[-1].finished is None:
        findings.add("not-compared", SUMS, "the last command did not finish; files were not compared with it")
        return
    sums = read_sums(folder.path)
    if sums is None:
        findings.add("not-compared", SUMS, "it is missing or damaged; files were not compared with it")
        return
    images = {file.relative_to(folder.path).as_posix(): digest.sha256 for file, digest in folder.kept_images()}
    for name, stated in sums.items():
        file = folder.path / name
        digest_of_file = sha256_file(file) if name not in images and file.is_file() else ""
        actual = images.get(name, digest_of_file)  # RunImages.check compares image files with their records
        if actual != stated:
            findings.add("file-differs", name, f"is missing or does not match {SUMS}")
    files = [MANIFEST, *(kind.FILE for kind in KINDS if (folder.path / kind.FILE).exists()), *images]
    for name in sorted(set(files) - sums.keys()):
        findings.add("not-compared", name, f"is not in {SUMS}")


def check_records(folder: RunFolder, findings: Findings) -> None:
    """Find records that are missing, and records of anything that the manifest does not name."""
    manifest = folder.manifest
    shards = {call.request.shard for call in manifest.invocations if call.request is not None}
    if len(shards) > 1 and manifest.missing_shards:  # a single shard is what its command requested
        findings.add("incomplete", manifest.protocol.dataset, manifest.missing_shards)
    finished: dict[tuple[object, str], bool] = {}
    for invocation in manifest.invocations:
        for item in product(invocation.settings, invocation.images):
            finished[item] = finished.get(item, False) or invocation.finished is not None
    for setting in manifest.settings:
        for image in manifest.planned(setting):
            where = f"{setting.folder} {image}"
            record = folder.sample(setting, image)
            pair = folder.of(image).pair
            if record is not None and record.failed:
                findings.add("incomplete", where, f"failed: {record.error}")
            elif record is not None:
                _check_scores(folder, record, findings)
            elif pair is not None and pair.failed:
                findings.add("incomplete", where, f"could not be read: {pair.error}")
            elif setting in folder.of(image).samples:
                findings.add("incomplete", where, "its code, weights or images are not those of the manifest")
            elif finished[setting, image]:
                findings.add("record-differs", where, f"its line in {SampleRecord.FILE} is missing")
            else:
                findings.add("incomplete", where, "not sampled, as the command did not finish")
        for metric in manifest.of_many:
            for subject, score in folder.scores_of_many(setting, metric):
                missing = "incomplete", f"its {metric.title} was not measured on these images"
                _check_score(f"{setting.folder} {subject.name}".rstrip(), metric, score, missing, findings)
    _check_lines(folder, findings)


def _check_scores(folder: RunFolder, record: SampleRecord, findings: Findings) -> None:
    """Find values that are missing although a finished command measured their metric after the item was sampled."""
    since = folder.manifest.invocations[record.invocation :]
    measured = {name for invocation in since if invocation.finished is not None for name in invocation.metrics}
    where = f"{record.setting.folder} {record.image}"
    for metric in folder.manifest.of_images:
        missing = "incomplete", f"its {metric.title} was not measured"
        if metric.name in measured:
            text = f"its {metric.title} is missing from {ScoreRecord.FILE}, or comes from other code or images"
            missing = "record-differs", text
        _check_score(where, metric, folder.score(record, metric), missing, findings)


def _check_score(
    where: str, metric: MetricInfo, score: ScoreRecord | None, missing: tuple[str, str], findings: Findings
) -> None:
    """Find a value that failed or has another protocol; ``missing`` are rule and text if there is none."""
    if score is None:
        findings.add(missing[0], where, missing[1])
    elif score.failed:
        findings.add("incomplete", where, f"its {metric.title} failed: {score.error}")
    elif score.signature != metric.signature:
        text = f"{metric.title} has protocol {score.signature}, but its column {metric.signature}"
        findings.add("record-differs", where, text)


def _check_lines(folder: RunFolder, findings: Findings) -> None:
    """Find records that refer to something outside the manifest."""
    manifest = folder.manifest
    metrics = {metric.name for metric in manifest.metrics}
    subjects = {"", *manifest.images, *manifest.groups.values()}
    for record in folder.lines():
        name = record.subject if isinstance(record, ScoreRecord) else record.image
        where = name or "a value of all images or of the model"
        if not isinstance(record, PairRecord):
            is_measured = not isinstance(record, ScoreRecord) or record.metric in metrics
            if record.setting not in manifest.settings or name not in subjects or not is_measured:
                findings.add("record-differs", f"{record.setting.folder} {where}", "is not in the manifest")
        if not 0 <= record.invocation < len(manifest.invocations):
            findings.add("record-differs", record.FILE, f"{where} refers to a command that the manifest lacks")
        if record.environment and record.environment not in folder.environments:
            findings.add("record-differs", record.FILE, f"{where} refers to an environment that is not recorded")
    for key, environment_record in folder.environments.items():
        if key != EnvironmentRecord.of(environment_record.facts).key:
            findings.add("record-differs", EnvironmentRecord.FILE, f"{key[:12]} is not the key of its content")


def check_request(folder: RunFolder, findings: Findings) -> dict[str, Dataset]:
    """Compare protocol, models and images with what the commands requested, and all pairs with their dataset.

    Returns the datasets that were opened, by the names of their images.
    """
    manifest = folder.manifest
    protocol = manifest.protocol
    commands = [(command, command.request) for command in manifest.invocations if command.settings and command.request]
    measured = {metric.spec for metric in manifest.metrics}
    datasets: dict[str, Dataset] = {}
    requested: dict[Setting, set[str]] = {setting: set() for setting in manifest.settings}
    for command, request in commands:
        if request.data in benchmark_sets() and not is_downloaded(str(request.data)):
            text = f"it is not on this machine; run srbench data fetch {request.data}"
            findings.add("request-unknown", protocol.dataset, text)
            return {}
        try:
            dataset, suite = open_dataset(request), read_suite(request.suite)
        except SRBenchError as error:
            findings.add("request-unknown", protocol.dataset, f"protocol and images were not compared: {error}")
            return {}
        _check_protocol(protocol, protocol_of(request, suite, dataset), request, findings)
        of_request = groups(dataset), request.samples, request.scale
        lacking = lacking_in(folder.path, dataset, *of_request, has_hr=folder.has_hr)
        for metric in _requested_metrics(request, suite, lacking) - measured:
            findings.add("incomplete", metric, "its command requests it, but the run has no such column")
        datasets = dict.fromkeys(dataset, dataset) | datasets
        in_groups = groups(dataset)
        if moved := [image for image in dataset if in_groups.get(image) != manifest.groups.get(image)]:
            text = f"images are in other groups than in the run: {listed(moved)}"
            findings.add("request-unknown", protocol.dataset, text)
        for setting in command.settings:
            requested[setting].update(request.chosen(tuple(dataset)))
        if not _are_requested(command.settings, request):
            text = (
                f"its settings, {listed(setting.folder for setting in command.settings)}, are not those of its request"
            )
            findings.add("manifest-differs", command.command, text)
    for setting, images in requested.items():
        if not images:
            findings.add("request-unknown", setting.folder, "the run does not say where its images are")
        elif others := images ^ set(manifest.planned(setting)):
            text = f"its command and the run differ in images: {listed(sorted(others))}"
            findings.add("request-unknown", setting.folder, text)
    _check_pairs(folder, datasets, findings)
    return datasets


def _requested_metrics(request: RunSpec, suite: Suite, lacking: Collection[Need]) -> set[str]:
    """Return the metrics that a command has to measure: of a suite, those that need nothing that is lacking.

    Metrics in files are left out, because the request does not have their paths.
    """
    columns = full_names(request.metrics or suite.metrics, suite.columns)
    return {each for each in columns if ".py" not in each and (request.metrics or not lacking or _can(each, lacking))}


def _can(column: str, lacking: Collection[Need]) -> bool:
    """Return whether a metric needs nothing that is lacking; False for a metric that cannot be loaded."""
    try:
        return not set(lacking) & set(described(column).needs)
    except SRBenchError:
        return False


def _are_requested(settings: Sequence[Setting], request: RunSpec) -> bool:
    """Return whether the settings of a command are those of its request: each model, at each temperature if any."""
    temperatures: dict[str, set[float | None]] = {}
    for setting in settings:
        temperatures.setdefault(setting.model, set()).add(setting.temperature)
    requested = set(request.temperature or ())
    are_whole = (each in ({None}, requested) or (not requested and len(each) == 1) for each in temperatures.values())
    return len(temperatures) == len(request.models) and all(are_whole)


def _check_protocol(stated: Protocol, requested: Protocol, request: RunSpec, findings: Findings) -> None:
    """Compare a protocol with that of a request, except for the number of saved samples, which changes no value."""
    for name, value in vars(requested).items():
        if name != "kept" and value != getattr(stated, name):
            # A value of the request itself is certain; a suite or dataset of that name may have changed since the run.
            rule = "manifest-differs" if getattr(request, name, None) == value else "request-unknown"
            findings.add(rule, MANIFEST, f"its {name} is {getattr(stated, name)}, and its command requests {value}")


def _check_pairs(folder: RunFolder, datasets: Mapping[str, Dataset], findings: Findings) -> None:
    """Compare all pairs pixel by pixel with the datasets that have their images."""
    name = folder.manifest.protocol.dataset
    for image, records in folder.by_image.items():
        record = records.pair
        if record is None or record.failed or not datasets:
            continue
        if image not in datasets:
            findings.add("request-unknown", name, f"{image} is not in it")
            continue
        try:
            pair = read_pair(datasets[image], image)
        except SRBenchError as error:
            findings.add("request-unknown", name, f"{image} cannot be read: {error}")
            continue
        images = {"LR": (pair.lr, record.lr), "HR": (pair.hr, record.hr)}
        for kind, (current, recorded) in images.items():
            if recorded is not None and (current is None or pixels_sha256(quantize_floor(current)) != recorded.pixels):
                findings.add("request-unknown", name, f"the {kind} of {image} is another image")
        if (pair.uncropped, pair.source_sha256) != (record.uncropped, record.whole):
            rule = "record-differs" if pair_key_of(datasets[image])(image) == record.key else "request-unknown"
            stated = "not cropped" if record.uncropped is None else f"cropped from {size_of(record.uncropped)} pixels"
            actual = "not" if pair.uncropped is None else f"from {size_of(pair.uncropped)}"
            text = f"its HR is said to be {stated}, and is {actual}"
            if pair.uncropped == record.uncropped:
                text = "its HR before cropping is said to be another image"
            findings.add(rule, f"{PairRecord.FILE}: {image}", text)
