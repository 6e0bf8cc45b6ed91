"""Baselines to compare SRFlow with: bicubic interpolation, RRDB and ESRGAN."""

import srbench.machine.threads  # noqa: F401 - before torch
