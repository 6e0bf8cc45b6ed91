"""The baselines that SRFlow is compared with: bicubic interpolation, RRDB and ESRGAN."""

import srbench  # noqa: F401 - before torch, so that its threads wait as srbench has it
