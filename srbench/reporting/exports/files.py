"""Files of an export: written into a folder of their own, never over others."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from srbench.files.atomic import write_new
from srbench.matrix.folder import runs_in
from srbench.reporting.exports.every_eval_ever import every_eval_ever
from srbench.reporting.exports.hf_eval import hf_eval
from srbench.reporting.exports.model_index import model_index
from srbench.reporting.exports.values import ExportedRun, exported_run

FORMATS: dict[str, Callable[[ExportedRun], dict[str, bytes]]] = {
    "hf-eval": hf_eval,
    "model-index": model_index,
    "every-eval-ever": every_eval_ever,
}
"""Contents of the files of every format, by their names."""


@dataclass(frozen=True)
class Export:
    """Files that were written, and what is not in them."""

    files: list[Path]
    left_out: list[str]
    """Values that are no mean over all images, one sentence each."""


def export_run(
    run: Path, form: str, out: Path | None = None, *, dataset: str | None = None, url: str | None = None
) -> Export:
    """Write the results of a run, or of all runs of a matrix, in a format of ``FORMATS`` into a folder.

    ``out`` is by default a folder named after the format. ``dataset`` is the name of the data on the Hugging Face Hub,
    ``url`` the address at which the run can be read. Raises SRBenchError for a folder that holds no measured run, and
    for a file in the way that is not what would be written.
    """
    runs = [exported_run(one, dataset, url) for one in runs_in(run)]
    folder = out or Path(form)
    contents = {folder / name: content for one in runs for name, content in FORMATS[form](one).items()}
    for file, content in contents.items():
        file.parent.mkdir(parents=True, exist_ok=True)
        write_new(file, content)
    return Export(list(contents), [sentence for one in runs for sentence in one.left_out])
