# %% [markdown]
# A tour of srbench in a notebook: every `# %%` is a cell, for Jupyter, VS Code, Spyder, or all at once:
# `python examples/tour.py`. Half a minute on a laptop's CPU.

# %% Evaluate two models by name and a function of your own, at 8x, on the first two of the packaged photographs.
import torch

import srbench


def nearest(lr: torch.Tensor) -> torch.Tensor:
    """Repeat every pixel: (n, 3, h, w) -> (n, 3, 8h, 8w)."""
    return torch.nn.functional.interpolate(lr, scale_factor=8)


results = srbench.evaluate(
    ["bicubic", "srflow", nearest],
    "photos",
    scale=8,
    temperature=0.8,
    samples=2,
    limit=2,
    crop=160,
    metrics=["psnr", "lpips", "lr_psnr"],
)

# %% Results: one row per model and temperature, and all values behind it.
print(results.table)  # in a notebook, `results` alone shows the table with the answer in words and images
print(results.rows.head())

# %% Compare two models image by image: difference, 95 % interval, paired permutation test.
print(results.compare("srflow", "bicubic")[["a", "b", "difference", "low", "high", "p", "verdict"]].round(3))

# %% Score another metric, from the saved images: no model runs again.
results = results.score("ssim")
print(results.table)

# %% Verify: check the files, measure every image again, and sample every output again.
findings = results.verify(resample="all")
print(findings.text())
assert findings.proven

# %% Report: tables, strips and plots. results.report("runs/tour") keeps it with the whole run, to be resumed,
# scored and verified later; without a folder it is deleted with the results.
print(results.report())
