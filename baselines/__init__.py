"""Baselines to compare SRFlow with: bicubic interpolation, RRDB, ESRGAN and a rectified flow."""
