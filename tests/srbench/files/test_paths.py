import sys
from pathlib import Path

import pytest

from srbench.files.paths import cache_folder


@pytest.mark.skipif(sys.platform != "linux", reason="each system has its own folder")
def test_the_cache_is_where_linux_has_it(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder("data") == tmp_path / "srbench" / "data"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache_folder("data") == Path.home() / ".cache" / "srbench" / "data"
