"""``srbench submit``: copy a run that holds into a folder of results."""

from __future__ import annotations

import shutil
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal

from srbench.benchmark.findings import Findings
from srbench.benchmark.verified import FILE as VERIFIED
from srbench.benchmark.verified import write_verified
from srbench.files.atomic import sync
from srbench.interfaces import Progress, silent
from srbench.leaderboard import LeaderboardError
from srbench.leaderboard.check import contradictions, verified
from srbench.reporting.report import write_report
from srbench.run_folder.folder import SUMS, RunFolder
from srbench.run_folder.manifest import FILE as MANIFEST
from srbench.run_folder.records import KINDS


def submit(
    run: Path,
    to: Path,
    *,
    images: bool = False,
    resample: int | Literal["all"] = 0,
    device: str = "auto",
    progress: Progress = silent,
) -> tuple[Path, Findings]:
    """Copy manifest, records, sums and the result of a new check of a run to ``to``, and write its report there.

    The kept images come along if ``images``. Returns the new folder, which has the name of the run and appears when it
    is complete, and what the check has found. Raises LeaderboardError if anything is contradicted, nothing could be
    verified, the last command did not finish, or there is such a folder already.
    """
    folder, target = RunFolder.read(run), to / run.resolve().name
    if target.exists():
        raise LeaderboardError(f"{target}: already exists, and nothing is overwritten; rename {run}")
    commands = folder.manifest.invocations
    if not commands or commands[-1].finished is None:
        raise LeaderboardError(f"{run}: its last command did not finish; run it again")
    found = verified(run, resample=resample, device=device, progress=progress)
    if wrong := contradictions(found):
        raise LeaderboardError(f"{run}: not submitted, as it is contradicted: {wrong[0]}; see srbench verify {run}")
    if not found.verified:
        raise LeaderboardError(f"{run}: not submitted, as no value could be verified; see srbench verify {run}")
    write_verified(found)
    names = [MANIFEST, SUMS, VERIFIED, *(kind.FILE for kind in KINDS)]
    files = [run / name for name in names if (run / name).is_file()]
    if images:
        files += [file for file, _ in folder.kept_images() if file.is_file()]
    to.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=to, prefix=f".{target.name}.") as temporary:
        made = Path(temporary) / target.name
        for file in files:
            copy = made / file.relative_to(run)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, copy)
        write_report([made])
        sync(made.rglob("*"))
        made.replace(target)
        sync([to])
    return target, found
