"""Votes by a script, no person: it prefers the image with the better value of a metric of the run.

python examples/scripted_votes.py RUN METRIC    answers one ballot of 60 questions that count, and the others among them
"""

import sys
from pathlib import Path

from srbench.run_folder.manifest import now
from srbench.voting.agreement import values_of
from srbench.voting.ballot import ballot, open_candidates
from srbench.voting.records import HR, LR, Vote, add_votes

run, metric = Path(sys.argv[1]), sys.argv[2]
candidates = open_candidates(run)
names = [setting.folder for setting in candidates.settings]
values = values_of(candidates.run, names, candidates.images)[metric] * candidates.run.manifest.metric(metric).direction


def merit(image: str, name: str) -> float:
    """The value of an image, more is better; of obvious questions, HR before LR."""
    if name in (HR, LR):
        return float(name == HR)
    return values[names.index(name), candidates.images.index(image)]


rater = f"script that prefers {metric}"
votes = []
for question in ballot(candidates, rater):
    left, right = (merit(question.image, side.name) for side in question.sides)
    choice = "neither" if left == right else "left" if left > right else "right"
    votes.append(Vote(rater, now(), question, choice))
print(f"{add_votes(candidates.run, votes)} answers by a {rater}")
