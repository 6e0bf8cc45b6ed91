"""``srbench run --engine slurm``: a run as Slurm jobs. Each runs a shard in a folder of its own; all are merged.

A job is an ordinary run of a shard, on the device and with the processes of its machine. A job that Slurm requeues
resumes its shard, and so does the same command.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from srbench.benchmark.request import RunSpec
from srbench.benchmark.run import Outcome, run
from srbench.interfaces import Progress, SRBenchError, Step, silent
from srbench.matrix import MatrixError
from srbench.matrix.run import combined
from srbench.run_folder.merge import merge
from srbench.words import one_line

if TYPE_CHECKING:
    from submitit import AutoExecutor, Job
    from submitit.helpers import DelayedSubmission

MINUTES = 24 * 60
"""Default time limit of a job."""
EVERY = 2.0
"""Seconds between polls."""


@dataclass(frozen=True)
class Part:
    """Work of one job: a shard. Returns its outcome, or the error that kept it from starting."""

    spec: RunSpec

    def __call__(self) -> Outcome | str:
        """Run the shard, with as many processes as suit the machine."""
        try:
            return run(self.spec, workers=None)
        except SRBenchError as error:
            return str(error)

    def checkpoint(self) -> DelayedSubmission:
        """Work to submit again if Slurm stops the job: the same, because a run folder is resumed."""
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self)


def run_on_slurm(spec: RunSpec, engine: str, jobs: int, progress: Progress = silent) -> Outcome:
    """Submit a run as ``jobs`` jobs, wait for them, and merge their folders into that of the run.

    ``engine`` is ``slurm`` or ``slurm:KEY=VALUE,...`` with settings of submitit's AutoExecutor. Shards and logs stay in
    ``NAME.shards`` beside the run. Raises MatrixError if the run's folder already exists, jobs cannot be submitted, or
    one does not finish.
    """
    if spec.out is None:
        raise MatrixError(f"{engine}: the jobs need a folder that all machines share; name it with --out")
    out = Path(spec.out).absolute()
    if out.exists():
        raise MatrixError(f"{out}: already exists; choose another --out and combine both with srbench merge")
    shards = out.with_name(f"{out.name}.shards")
    parts = [
        Part(replace(spec, shard=f"{number}/{jobs}", out=str(shards / f"{number}-of-{jobs}")))
        for number in range(1, jobs + 1)
    ]
    outcomes = _done(_executor(shards / "jobs", engine), parts, progress)
    merge([one.folder for one in outcomes], out)
    return combined(out, outcomes, [failure for one in outcomes for failure in one.failures])


def _done(executor: AutoExecutor, parts: Sequence[Part], progress: Progress) -> list[Outcome]:
    from submitit.helpers import as_completed

    submitted: list[Job[Any]] = executor.submit_array(list(parts))
    said = "waiting for Slurm jobs"
    try:
        progress(Step(0, len(parts), said))
        for done, job in enumerate(as_completed(submitted, poll_frequency=EVERY), 1):
            progress(Step(done, len(parts), said, share=done / len(parts)))
            _outcome(job)  # the first that fails ends the others
    except BaseException:
        for job in submitted:
            job.cancel(check=False)
        raise
    return [_outcome(job) for job in submitted]


def _outcome(job: Job[Any]) -> Outcome:
    fault = job.exception()
    found: Outcome | str = job.result() if fault is None else str(fault).strip().splitlines()[-1]
    if isinstance(found, str):
        raise MatrixError(
            f"Slurm job {job.job_id}: {found}; see {job.paths.stderr}. Finished work is kept. Rerun the same command "
            "to resume."
        )
    return found


def _executor(folder: Path, engine: str) -> AutoExecutor:
    try:
        from submitit import AutoExecutor
    except ImportError:
        raise MatrixError("--engine slurm needs submitit; install it: pip install 'sr-bench[slurm]'") from None
    settings: dict[str, Any] = {"cluster": "slurm", "name": "srbench", "timeout_min": MINUTES}
    for text in filter(None, engine.partition(":")[2].split(",")):
        key, _, value = text.partition("=")
        settings[key] = int(value) if value.isdigit() else value
    try:
        executor = AutoExecutor(folder, cluster=settings.pop("cluster"))
        executor.update_parameters(**settings)
    except (AssertionError, KeyError, NameError, OSError, RuntimeError, TypeError, ValueError) as error:
        raise MatrixError(f"{engine}: cannot submit jobs ({one_line(error)})") from None
    return executor
