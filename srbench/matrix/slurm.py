"""``srbench run --engine slurm``: a run as jobs of Slurm. Each does a shard in a folder of its own; all are merged.

A job is an ordinary run of a shard, on the device and with the processes that its machine has. One that Slurm stops and
starts again goes on from what is there, and so does the same command.
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

if TYPE_CHECKING:
    from submitit import AutoExecutor, Job
    from submitit.helpers import DelayedSubmission

MINUTES = 24 * 60
"""How long a job may take if nothing else is said."""
EVERY = 2.0
"""Seconds between looks at the jobs."""


@dataclass(frozen=True)
class Part:
    """What a job does: a shard. Returns what became of it, or the sentence that says why nothing did."""

    spec: RunSpec

    def __call__(self) -> Outcome | str:
        """Run the shard, with as many processes as suit the machine."""
        try:
            return run(self.spec, workers=None)
        except SRBenchError as error:
            return str(error)

    def checkpoint(self) -> DelayedSubmission:
        """What is submitted again where Slurm stops the job: the same, for a run folder is resumed."""
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self)


def run_on_slurm(spec: RunSpec, engine: str, jobs: int, progress: Progress = silent) -> Outcome:
    """Submit a run as so many jobs, wait for them, and merge their folders into that of the run.

    ``engine`` is ``slurm`` or ``slurm:KEY=VALUE,...``, with what submitit's AutoExecutor takes. The folders of the
    shards, and the logs of the jobs, are beside that of the run, in ``NAME.shards``; they stay. Raises MatrixError
    where the run's folder is there already, where jobs cannot be submitted, and where one does not finish.
    """
    if spec.out is None:
        raise MatrixError(f"{engine}: the jobs need a folder that all machines have; name it with --out")
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

    submitted: list[Job[Any]] = []
    done, said = 0, "waiting for jobs of Slurm"
    try:
        submitted += executor.submit_array(list(parts))
        progress(Step(done, len(parts), said))
        for job in as_completed(submitted, poll_frequency=EVERY):
            done += 1
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
            f"job {job.job_id} of Slurm: {found}; its log is {job.paths.stderr}; finished work is kept. Rerun the same "
            "command to resume."
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
        reason = " ".join(str(error).split())
        raise MatrixError(f"{engine}: no jobs can be submitted ({reason})") from None
    return executor
