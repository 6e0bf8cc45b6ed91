"""The baselines that SRFlow is compared with: bicubic interpolation, RRDB and ESRGAN."""

import srbench.system.threads  # noqa: F401 - before torch
