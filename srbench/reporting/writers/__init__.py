"""What commands write, print or check of runs: reports, leaderboards, comparisons and logs of trackers."""
