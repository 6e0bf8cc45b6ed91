"""Baselines to compare SRFlow with: bicubic interpolation, RRDB and ESRGAN."""
