"""The baselines that SRFlow is compared with: bicubic interpolation, RRDB and ESRGAN."""
