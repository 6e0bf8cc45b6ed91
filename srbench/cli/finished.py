"""Commands that have nothing to do since they were last run: they show what they showed, and load no torch.

A stamp is written once a command has found, or made, everything finished; it holds for as long as the code, what is
installed, and every file that the command looks at stay as they are.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from srbench.cli.terminal import WARNED, say

if TYPE_CHECKING:
    from rich.table import Table

    from srbench.benchmark.run import Outcome
    from srbench.cli.reporting import Written
    from srbench.reporting.files import Choices


@dataclass(frozen=True)
class Records:
    """The files of a run that are no report, as they were when it was found to be finished."""

    folder: Path
    made: float
    files: str
    """Their fingerprint; empty if it cannot be told."""

    @classmethod
    def of(cls, folder: Path, made: float | None = None) -> Records:
        """The files as they are now, where those changed since ``made``, by default now, count by their contents."""
        from srbench.cli.stamps import UnknownStateError, fingerprint
        from srbench.run_folder.folder import IMAGES, SUMS
        from srbench.run_folder.manifest import FILE
        from srbench.run_folder.records import KINDS
        from srbench.voting.records import FILE as VOTES

        made = time.time() if made is None else made
        names = (IMAGES, SUMS, FILE, VOTES, *(kind.FILE for kind in KINDS))
        try:
            return cls(folder, made, fingerprint([folder / name for name in names], made))
        except UnknownStateError:
            return cls(folder, made, "")

    def after(self, outcome: Outcome) -> Records:
        """The files after a run: equal to these if it had nothing to do and nobody has changed them meanwhile."""
        did = bool(outcome.sampled or outcome.scored)
        return Records.of(outcome.folder, None if did else self.made)


@dataclass(frozen=True)
class Command:
    """A command line, and its stamp."""

    name: str
    values: Mapping[str, object]

    @cached_property
    def _code(self) -> list[Path]:
        """Folders of our packages."""
        from srbench.plugins.code_digest import source_roots
        from srbench.plugins.watch import our_packages

        return [root for package in our_packages() for root in source_roots(package)]

    @cached_property
    def _file(self) -> Path:
        from srbench.cli.stamps import stamp_file
        from srbench.terminal.output import facts_of_terminal

        return stamp_file(self.name, sorted(self.values.items()), self._code, facts_of_terminal())

    def is_known(self) -> bool:
        """Show what the command showed, if it would do nothing and show the same; False if that is not known."""
        from srbench.cli.stamps import fitting
        from srbench.terminal.output import show_again

        stamp = fitting(self._file, self._rivals())
        if stamp is None:
            return False
        if stamp.remark:
            say(stamp.remark)
        show_again(stamp.shown)
        return True

    def remember(
        self,
        results: Iterable[str | Table],
        inputs: Iterable[Path] = (),
        outputs: Iterable[Path] = (),
        remark: str = "",
        still: Callable[[], bool] = lambda: True,
    ) -> None:
        """Write the stamp of a command that printed ``results`` and would print them again.

        ``still`` is asked, after all files were looked at, whether ``outputs`` are finished. Nothing is written if it
        says no, if anything was warned of, or if the code or an input has changed since this process began.
        """
        from srbench.cli.stamps import BEGUN, MARGIN, Stamp, UnknownStateError, fingerprint, newest, write_stamp
        from srbench.terminal.output import shown

        read = [*self._code, *(path.absolute() for path in inputs)]
        paths = [*read, *(path.absolute() for path in outputs)]
        try:
            if WARNED or newest(read) > BEGUN - MARGIN:
                return
            made = time.time()
            files = fingerprint([*paths, *self._rivals()], made)
            if still():
                write_stamp(self._file, Stamp(made, tuple(map(str, paths)), files, remark, shown(results)))
        except UnknownStateError:
            return

    def remember_report(
        self, before: Records, written: Written, choices: Choices, inputs: Iterable[Path] = (), remark: str = ""
    ) -> None:
        """Write the stamp of a command that left the files of a run as they were ``before`` its report."""
        from srbench.reporting.files import is_current

        def still() -> bool:
            return is_current(before.folder, choices) and Records.of(before.folder, before.made) == before

        if before.files and not written.moved:
            self.remember(written.results(), inputs, [before.folder], remark, still)

    def _rivals(self) -> list[Path]:
        """The manifests of runs where a run without ``--out`` looks for one that it continues."""
        return sorted(Path("runs").absolute().glob("*-x*/manifest.json")) if self.name == "run" else []
