# %% [markdown]
# A tour of srbench as a notebook: every `# %%` of `tour.py` starts a cell in Jupyter, VS Code or Spyder. As a script:
# `python examples/tour.py`. It takes half a minute on a laptop's CPU.

# %% Evaluate two models by name, and a function of your own, at 8x on the first two packaged photographs.
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

# %% Results: the table has a row per model and temperature; `rows` has all values.
print(results.rows.head())
results  # a notebook shows the answer in words, the table and a strip

# %% Compare two models image by image: difference, 95 % interval, paired sign-flip test.
print(results.compare("srflow", "bicubic")[["a", "b", "difference", "low", "high", "p", "verdict"]].round(3))

# %% Score another metric on the saved images, without running a model again.
results = results.score("ssim")
print(results.table)

# %% Verify: check the files, remeasure every image, and resample every output.
findings = results.verify(resample="all")
print(findings.text())
assert findings.proven

# %% Report: tables, strips and plots. results.report("runs/tour") keeps the report and the whole run, which can then be
# resumed, scored and verified later; without a folder, both are deleted with the results.
print(results.report())
