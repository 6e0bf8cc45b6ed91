import sys
from pathlib import Path

import pytest

from srbench.files.paths import cache_folder, no_place


@pytest.mark.skipif(sys.platform != "linux", reason="each system has its own folder")
def test_the_cache_is_where_linux_has_it(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder("data") == tmp_path / "srbench" / "data"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache_folder("data") == Path.home() / ".cache" / "srbench" / "data"


def test_where_no_folder_can_be_made(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("file").touch()
    assert [no_place(Path(name)) for name in (".", "new/deep")] == ["", ""]
    assert no_place(Path("file")) == "a file, not a folder"
    assert no_place(Path("file/new")) == f"{tmp_path / 'file'} is not a folder"
