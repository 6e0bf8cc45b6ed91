"""Baselines to compare SRFlow with: bicubic interpolation, RRDB and ESRGAN."""

import srbench.system.threads  # noqa: F401 - before torch
