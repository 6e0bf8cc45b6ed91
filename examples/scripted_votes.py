"""Votes by a script instead of a person: it prefers the image with the better value of one of the run's metrics.

python examples/scripted_votes.py RUN METRIC    answers 60 questions
"""

import sys
from pathlib import Path

from srbench.voting.ballot import open_candidates
from srbench.voting.poll import Poll

run, metric = Path(sys.argv[1]), sys.argv[2]
candidates = open_candidates(run)
folder = candidates.run
settings = {setting.folder: setting for setting in candidates.settings}


def merit(image: str, name: str) -> float:
    """The metric's value for an output, negated if lower is better."""
    info = folder.manifest.metric(metric)
    sample = folder.sample(settings[name], image)
    score = folder.score(sample, info)
    value = score.value[0] if isinstance(score.value, list) else score.value  # voters see the first sample
    return info.direction * value


rater = f"script that prefers {metric}"
poll = Poll(candidates, votes=60, seed=0)
questions = poll.ballot(rater)
for question in questions:
    left, right = (merit(question.image, side.name) for side in (question.left, question.right))
    poll.answer(rater, question.id, "neither" if left == right else "left" if left > right else "right")
print(f"{len(questions)} answers by a {rater}")
