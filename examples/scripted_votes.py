"""A file of votes by a script instead of a person: it prefers the output with the better value of a metric of the run.

python examples/scripted_votes.py RUN METRIC    answers all questions of the study of RUN
"""

import sys
from itertools import chain
from pathlib import Path

from msgspec import json

from srbench.voting.joining import Answer
from srbench.voting.study import open_study, turns

run, metric = Path(sys.argv[1]), sys.argv[2]
study = open_study(run)
folder = study.run
settings = {setting.folder: setting for setting in folder.manifest.settings}
info = folder.manifest.metric(metric)


def merit(image: str, name: str) -> float:
    """The metric's value for an output, negated if lower is better."""
    sample = folder.sample(settings[name], image)
    score = folder.score(sample, info)
    value = score.value[0] if isinstance(score.value, list) else score.value  # voters see the first sample
    return info.direction * value


answers = []
for asked in chain.from_iterable(turns(study)):
    question = study.question(asked)
    left, right = (merit(question.image, side.name) for side in (question.left, question.right))
    choice = "neither" if left == right else "left" if left > right else "right"
    answers.append(Answer(study.id, "0" * 16, "2026-01-01T00:00:00.000Z", *asked, choice))
file = Path(f"votes-{answers[0].rater}.jsonl")
file.write_bytes(json.Encoder().encode_lines(answers))
print(f"{file}: {len(answers)} answers by a script that prefers {metric}")
