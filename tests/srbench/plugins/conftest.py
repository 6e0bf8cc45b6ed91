"""Processes of their own, as far as plug-ins are concerned."""

from __future__ import annotations

import os
import sys

import pytest

from srbench.plugins import code_digest


@pytest.fixture
def new_process(tmp_path, monkeypatch):
    """Forget the modules of the test's folder, and all that is known of sources, as if the process had ended."""
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    path = list(sys.path)

    def call():
        sys.path[:] = path
        for name, module in list(sys.modules.items()):
            if str(getattr(module, "__file__", None) or "").startswith(str(tmp_path)):
                del sys.modules[name]
        sys.path_importer_cache.clear()
        code_digest._AS_IMPORTED.clear()
        code_digest.version_of.cache_clear()
        code_digest._distributions.cache_clear()

    yield call
    call()


@pytest.fixture
def write(tmp_path):
    """Write files of the test's folder, all of the same time, so that only contents count."""

    def call(files, time=1_700_000_000):
        for name, content in files.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content if isinstance(content, bytes) else content.encode())
            os.utime(path, (time, time))

    return call
