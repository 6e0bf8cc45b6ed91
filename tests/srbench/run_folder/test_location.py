"""Where runs are."""

from __future__ import annotations

import pytest

from srbench.run_folder import RunFolderError
from srbench.run_folder.location import is_folder_of_runs, runs_below


def test_runs_below_a_folder(tmp_path):
    """Hidden folders, links, reports and subfolders of runs are not searched; a run is itself."""
    for name in ("b", "a/x", ".hidden/y", "b/inside"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "manifest.json").touch()
    (tmp_path / "a/torn").mkdir()
    (tmp_path / "a/torn/rows.jsonl").touch()
    (tmp_path / "report").mkdir()
    (tmp_path / "report/report.json").touch()
    (tmp_path / "link").symlink_to(tmp_path / "a")
    assert runs_below(tmp_path) == [tmp_path / "a/torn", tmp_path / "a/x", tmp_path / "b"]
    assert runs_below(tmp_path / "b") == [tmp_path / "b"]
    assert [is_folder_of_runs(tmp_path / name) for name in ("a", "a/x", "report", "absent")] == [
        True,
        False,
        True,
        False,
    ]
    with pytest.raises(RunFolderError, match="report: no run in it; name a folder that srbench run made"):
        runs_below(tmp_path / "report")
    assert runs_below(tmp_path / "absent") == [tmp_path / "absent"], "reading it names the fault"
