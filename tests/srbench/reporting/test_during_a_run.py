"""Reports of a run while it is being written."""

from __future__ import annotations

from srbench.reporting.writers.report import write_report
from srbench.run_folder import records
from srbench.run_folder.folder import RunFolder


def test_a_state_in_the_middle_of_a_line_of_writing_is_consistent(make_run, monkeypatch):
    """Another process finishes an image while the folder is read: its lines count together or not at all."""
    run = make_run("run", {("m", None): {"a": (20.0, 0.5)}}, images=["a", "b"])
    make_run("other", {("m", None): {"a": (20.0, 0.5), "b": (30.0, 0.4)}})
    names = {kind.FILE for kind in records.KINDS}
    before, read = {}, records.read

    def lines(folder, kind):
        found = list(read(folder, kind))
        if not before:
            before.update(dict.fromkeys(names))
            for name in names & {path.name for path in (run.parent / "other").iterdir()}:
                (run / name).write_bytes((run.parent / "other" / name).read_bytes())
        return found

    monkeypatch.setattr(records, "read", lines)
    folder = RunFolder.read(run)
    assert folder.of("b").samples, "it has been sampled"
    monkeypatch.undo()
    assert "Left out" not in write_report([run], ["md"]).files[0].read_text()
    for setting, sample in folder.of("b").samples.items():
        assert folder.sample(setting, "b") is sample, "and its pair is there"
