"""Published values compared with measured means, and explained: ``--claims`` of ``srbench measure`` and ``run``."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from srbench.explaining import ExplainError
from srbench.explaining.explanation import Evidence, Explained, Explanation
from srbench.explaining.matching import Candidate, Printed
from srbench.files.config import load_toml
from srbench.interfaces import MetricInfo, SRBenchError
from srbench.judging.sentences import claims_sentence
from srbench.metrics.loading import located, parse_metric
from srbench.metrics.suite import meanings, read_suite
from srbench.run_folder.protocol import Setting
from srbench.run_folder.values import Values, averaged_images, mean_of_images
from srbench.terminal.progress import Progress, silent
from srbench.words import did_you_mean, number_of

if TYPE_CHECKING:
    from srbench.explaining.search import Tried


@dataclass(frozen=True)
class Claim:
    """A published value of a metric, for a measured row."""

    metric: str
    """Name as in ``--metrics``."""
    value: str | float
    """The value as printed, which must be text: its digits decide what reproduces it."""
    row: str = ""
    """Row of the table: the label of a folder, a setting or a model; empty for the only row."""
    source: str = ""
    """Origin of the value; empty if the file states none."""

    @property
    def printed(self) -> Printed:
        """The value. Raises ExplainError if it is not a number as printed."""
        if not isinstance(self.value, str):
            raise ExplainError(f"value {self.value!r} is not text; put the number in quotes, so that its digits count")
        return Printed(self.value)


@dataclass(frozen=True)
class ClaimsFile:
    """Claims, and the data that their values belong to."""

    claim: tuple[Claim, ...]
    source: str = ""
    """Origin of the values of claims that state none."""
    data: str = ""
    """Name of the dataset, all of whose images were measured; empty if not stated."""
    scale: int = 0
    """Upscaling factor; 0 if not stated."""
    images: int = 0
    """Number of images; 0 if not stated."""
    lr: str = ""
    """Origin of the LR images, in the words of a report; empty if not stated."""

    def other_data(self, measured: Mapping[str, str | int | None]) -> str:
        """Return a line on how the measured data differ from the stated data; empty if they do not.

        ``measured`` are images, data, scale, lr and crop, as far as known. Claims that state ``data`` are about whole
        images.
        """
        stated: dict[str, str | int] = {"data": self.data, "images": self.images, "scale": self.scale, "lr": self.lr}
        different = [
            f"{name} {value}, measured {measured[name]}"
            for name, value in stated.items()
            if value and name in measured and measured[name] != value
        ]
        if self.data and measured.get("crop") is not None:
            different.append(f"whole images, measured their central {measured['crop']} pixels")
        words = f"its claims are about other data ({'; '.join(different)}), so none is judged"
        return words if different else ""


@dataclass(frozen=True)
class Claims:
    """A file of claims for the metrics that will be measured."""

    path: Path
    file: ClaimsFile
    specs: Mapping[str, str]
    """Metrics with the parameters of the suite, as in ``MetricInfo.spec``, by every name that a claim may use."""


@dataclass(frozen=True, eq=False)
class MeasuredRow:
    """Measured means of a row of a table, which claims are compared with, and its images."""

    means: Mapping[str, float]
    """Means by ``MetricInfo.spec``; NaN if all images failed."""
    images: Path | None = None
    """Folder of the outputs; None if there is none."""
    remarks: Mapping[str, str] = field(default_factory=dict)
    """By ``MetricInfo.spec``, what a reader should know about a mean, or why there is none."""
    over_groups: bool = False
    """True if means are over groups, False if over images."""


def measured_row(
    values: Values, setting: Setting, metrics: Iterable[MetricInfo], images: Path, total: int, failures: int = 0
) -> MeasuredRow:
    """Return the means of a setting.

    Args:
        values: Values of the setting.
        setting: The setting; for a folder of outputs, it has the folder's label.
        metrics: Metrics of the row.
        images: Folder of the outputs.
        total: Number of images to measure.
        failures: Number of results that could not be measured.
    """
    means, remarks = {}, {}
    for metric in metrics:
        means[metric.spec] = mean_of_images(values.of_units(setting, metric))
        if metric.per in ("group", "set"):
            if failures:
                failed = number_of(failures, "result")
                remarks[metric.spec] = (
                    f"it is of {'all images' if metric.per == 'set' else 'groups'}, and {failed} could not be measured"
                )
        elif metric.is_of_images and (count := averaged_images(values.means(setting, metric))) < total:
            remarks[metric.spec] = f"mean of {count} of {total} images" if count else "all images failed"
    return MeasuredRow(means, images, remarks, bool(values.unit_of))


@dataclass(frozen=True)
class ClaimResult:
    """A claim, the measured value, and the protocols that print the published value."""

    claim: Claim
    row: str = ""
    """Name of the measured row; empty if there is none."""
    measured: float = math.nan
    """Mean over the images; NaN if it was not measured."""
    reason: str = ""
    """Why it was not measured; empty if it was."""
    explained: Explained | None = None
    """Values under the measured protocol and under others."""
    evidence: Evidence | None = None
    """The protocol that prints the claim, with its chance; None if none does."""
    by_luck: float = 0.0
    """Chance that an arbitrary number in its place would be called reproduced; 0 if it was not measured."""
    is_misnamed: bool = False
    """True if the claim names no row, or one that looks misspelt."""

    @property
    def result(self) -> str:
        """Result in a few words, without protocol and chance."""
        if self.reason:
            return "not measured"
        if self.evidence is None:
            return "not reproduced"
        if self.evidence.result == "reproduced" and not self.evidence.match.candidate.is_default:
            return "reproduced under another protocol"
        return self.evidence.result

    @property
    def text(self) -> str:
        """The result, and the protocol that prints the value or comes nearest."""
        if self.reason or self.explained is None:
            return f"{self.result}: {self.reason}"
        if self.evidence is None and len(self.explained.candidates) == 1:
            return f"{self.result}: no other protocol was tried"
        if self.result == "reproduced" and self.evidence:
            truncated = ", truncated" if self.evidence.match.how == "truncated" else ""
            return f"{self.result}{truncated}, {self.evidence.words}"
        hint = {"consistent": ", no evidence by itself", "cannot tell": " without more digits, or a second metric"}
        return f"{self.result}{hint.get(self.result, '')}: {self.explained.summary(self.evidence)}"

    def as_json(self) -> dict[str, object]:
        """Return claim, measured value, result, and the protocols that print the value or else come nearest."""
        protocols = () if self.explained is None else self.explained.matches or self.explained.nearest
        return {
            "metric": self.claim.metric,
            "published": self.claim.printed.text,
            "source": self.claim.source,
            "measured": self.measured,
            "result": self.result,
            "chance": None if self.evidence is None else self.evidence.chance,
            "text": self.text,
            "protocols": [
                {"words": match.protocol.words, "value": match.value, "how": match.how, "metrics": match.protocol.text}
                for match in protocols
            ],
        }


@dataclass(frozen=True)
class Judgement:
    """Results of the claims of a file."""

    results: tuple[ClaimResult, ...] = ()
    """Results in the order of the claims."""
    remarks: tuple[str, ...] = ()
    """Lines on images and protocols that were left out."""
    refused: str = ""
    """Why no claim is judged; empty if they are."""

    @property
    def contradicts(self) -> bool:
        """True if a claim is not reproduced, or is about no row of the table by mistake."""
        return any(each.result == "not reproduced" or each.is_misnamed for each in self.results)

    @property
    def summary(self) -> str:
        """How many claims are reproduced, how many arbitrary numbers would be, and how many are about other rows."""
        return claims_sentence(
            sum(each.result.startswith("reproduced") for each in self.results),
            len(self.results),
            sum(each.by_luck for each in self.results),
            [each.claim.row for each in self.results if each.claim.row and not each.row and not each.is_misnamed],
        )


def read_claims(path: Path, names: Sequence[str] | None, suite: str) -> Claims:
    """Read a TOML file of claims.

    Args:
        path: The file.
        names: Metrics to measure; None: those of the suite.
        suite: Name of a protocol, or a TOML file.

    Raises:
        ConfigError: The file cannot be read, or has unknown keys or values of the wrong type.
        ExplainError: Values that are not numbers as printed, or metrics that will not be measured; all are listed.
    """
    file = load_toml(path, ClaimsFile)
    columns = meanings(read_suite(suite).columns)
    specs = columns if names is None else {name: columns.get(name, name) for name in names}
    specs = {name: located(spec) for name, spec in specs.items()}
    specs = {name.removeprefix("pyiqa:"): spec for name, spec in specs.items()} | specs
    faults = []
    for number, claim in enumerate(file.claim, 1):
        try:
            if claim.metric not in specs:
                shortest = {min((name for name in specs if specs[name] == spec), key=len) for spec in specs.values()}
                raise ExplainError(
                    f"metric {claim.metric!r} is not measured; add it to --metrics, or name one of "
                    f"{', '.join(sorted(shortest))}"
                )
            _ = claim.printed
        except ExplainError as error:
            faults.append(f"claim {number}: {error}")
    if faults:
        raise ExplainError(f"{path}: {'; '.join(faults)}")
    claims = tuple(replace(claim, source=claim.source or file.source) for claim in file.claim)
    return Claims(path, replace(file, claim=claims), specs)


def judged(
    claims: Claims,
    rows: Mapping[str, MeasuredRow],
    data: Mapping[str, str | int | None],
    hr: Path | None = None,
    lr: Path | None = None,
    scale: int | None = None,
    progress: Progress = silent,
    workers: int | None = 1,
    device: str = "auto",
    groups: Mapping[str, str] | None = None,
) -> Judgement:
    """Compare claims with measured means, and with values under other protocols.

    Other protocols are tried if HR images are given, in one search for each row and metric. Claims about one row from
    one source count together.

    Args:
        claims: The claims. None is judged if they are about other data.
        rows: Measured rows by name; a row may have two names.
        data: Images, data, scale, lr and crop of the measured images, as far as known.
        hr: Folder of HR images.
        lr: Folder of LR images.
        scale: Upscaling factor.
        progress: Called after every image.
        workers: Number of worker processes; None: chosen for the machine.
        device: Device of the metrics that can use it.
        groups: Group of every image, by name, such as a clip; by default the subfolders of ``hr``.
    """
    if refused := claims.file.other_data(data):
        return Judgement(refused=f"{claims.path}: {refused}")
    results: list[ClaimResult] = []
    remarks: dict[str, None] = {}
    search = _Search(hr, lr, scale, progress, workers, device, remarks, groups)
    row_indices = defaultdict[tuple[MeasuredRow, str], list[int]](list)
    claimed = {id(rows[claim.row]) for claim in claims.file.claim if claim.row in rows}
    unclaimed = [name for name, row in rows.items() if id(row) not in claimed]
    for claim in claims.file.claim:
        row, name = _row(claim, rows)
        if row is None:
            of_model = [each for each in rows if each.startswith(f"{claim.row}-t")]  # at several temperatures
            question = did_you_mean(claim.row, [*unclaimed, *of_model]) if claim.row else name
            reason = f"unknown row {claim.row!r}; {question}" if claim.row and question else name
            results.append(ClaimResult(claim, reason=reason, is_misnamed=bool(question)))
            continue
        spec = claims.specs[claim.metric]
        measured, remark = row.means.get(spec, math.nan), row.remarks.get(spec, "")
        if math.isnan(measured):
            typed = parse_metric(spec)[0]
            reason = remark or f"left out of the suite; run with --metrics {typed} to see the reason"
            results.append(ClaimResult(claim, name, reason=reason))
            continue
        if remark:
            remarks[f"{name}, {claim.metric}: {remark}"] = None
        row_indices[row, claim.source].append(len(results))
        explained = search.explained(claim.printed, spec, measured, name, row)
        results.append(ClaimResult(claim, name, measured, explained=explained))
    for indices in row_indices.values():
        numbers = tuple(each for index in indices if (each := results[index].explained))
        explanation = Explanation(numbers)
        for place, (index, evidence) in enumerate(zip(indices, explanation.evidence, strict=True)):
            results[index] = replace(results[index], evidence=evidence, by_luck=explanation.by_luck(place))
    return Judgement(tuple(results), tuple(remarks))


def _row(claim: Claim, rows: Mapping[str, MeasuredRow]) -> tuple[MeasuredRow | None, str]:
    """Return the row that a claim is about and its name; or None, and why there is none."""
    if claim.row in rows:
        return rows[claim.row], claim.row
    if claim.row:
        return None, f"no row {claim.row} here"
    if len({*map(id, rows.values())}) == 1:
        return next(iter(rows.values())), next(iter(rows))
    return None, f"its row is missing; name one of {', '.join(rows)}"


@dataclass
class _Search:
    """Values under other protocols, computed once for each row and metric."""

    hr: Path | None
    lr: Path | None
    scale: int | None
    progress: Progress
    workers: int | None
    device: str
    remarks: dict[str, None]
    """Lines about images and protocols that were left out; grows."""
    groups: Mapping[str, str] | None
    tried: dict[tuple[Path, str], Tried | None] = field(default_factory=dict)

    def explained(self, printed: Printed, spec: str, measured: float, name: str, row: MeasuredRow) -> Explained:
        """Return the protocols that print a value; the measured protocol alone if no other can be tried."""
        from srbench.explaining.protocols.families import FAMILIES
        from srbench.explaining.protocols.family import column_key
        from srbench.explaining.protocols.table import MetricProtocol

        metric, images = parse_metric(spec)[0], row.images
        explained = Explained(metric, metric, printed, ())
        if images is not None and self.hr is not None and (metric in FAMILIES or metric.startswith("pyiqa:")):
            if (images, metric) not in self.tried:
                self.tried[images, metric] = self._try(metric, name, images)
            if tried := self.tried[images, metric]:
                explained = tried.explained(metric, printed)
                key = column_key(spec, tried.scale)
                of_column = [
                    each.protocol
                    for each in explained.candidates
                    if each.protocol.text
                    and not each.protocol.frames
                    and column_key(each.protocol.text, tried.scale) == key
                ]
                # a mean over clips that equals that over frames is not tried
                own = [each for each in of_column if each.of_clips] if row.over_groups else []
                own = own or [each for each in of_column if not each.of_clips]
                explained = replace(
                    explained,
                    candidates=tuple(
                        replace(each, value=measured, is_default=True)
                        if each.protocol in own
                        else replace(each, is_default=False)
                        for each in explained.candidates
                    ),
                )
        if any(each.is_default for each in explained.candidates):
            return explained
        protocol = MetricProtocol(metric, "the measured protocol", border=None)
        default = Candidate(protocol, measured, None, is_default=True)
        return replace(explained, candidates=(default, *explained.candidates))

    def _try(self, metric: str, row: str, images: Path) -> Tried | None:
        from srbench.explaining.search import try_protocols

        assert self.hr is not None
        try:
            tried = try_protocols(
                [metric],
                sr=images,
                hr=self.hr,
                lr=self.lr,
                scale=self.scale,
                progress=lambda step: self.progress(replace(step, what=f"other protocols of {metric}")),
                workers=self.workers,
                device=self.device,
                groups=self.groups,
            )
        except SRBenchError as error:  # such as images of another size than HR
            self.remarks[f"{row}, {metric}: no other protocol was tried ({error})"] = None
            return None
        not_tried = tried.explained(metric, Printed("0")).not_tried
        self.remarks |= dict.fromkeys([*tried.remarks, *(f"not tried: {line}" for line in not_tried)])
        return tried
