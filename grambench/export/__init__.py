"""What leaves a run while it goes on or afterwards: curves in trackers, metrics to scrape, alerts.

Everything here follows the run's logs through the fold; while the run lasts, in processes of its own
(`python -m grambench.export`).
"""
