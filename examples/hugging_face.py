"""The means of a run for the Hugging Face Hub: python examples/hugging_face.py runs/NAME OWNER/DATASET

Writes SETTING/.eval_results/NAME.yaml for every model and temperature. The Hub shows the values of such a file in a
model's repository (https://huggingface.co/docs/hub/eval-results).
"""

import csv
import json
import math
import sys
from pathlib import Path

if len(sys.argv) != 3:
    sys.exit(__doc__)
run, dataset = Path(sys.argv[1]), sys.argv[2]
protocol = json.loads((run / "manifest.json").read_text())["protocol"]
for row in csv.DictReader((run / "report/table.csv").open()):
    metrics = [column.removesuffix("_signature") for column in row if column.endswith("_signature")]
    entries = [
        {
            "dataset": {"id": dataset, "task_id": f"x{protocol['scale']}-{name.replace('_', '-')}"},
            "value": float(row[name]),
            "notes": f"{row[f'{name}_signature']}; {row['n']} images; LR {protocol['lr']}; measured by srbench",
        }
        for name in metrics
        if row[name] and math.isfinite(float(row[name]))
    ]
    setting = f"{row['model']}-t{row['temperature']}" if row["temperature"] else row["model"]
    file = Path(setting) / ".eval_results" / f"{run.name}.yaml"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(entries, indent=2, ensure_ascii=False) + "\n")  # JSON is YAML
    print(file)
