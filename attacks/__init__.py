"""Damaged inputs by the thousand: whatever a file holds, a reader accepts it or says what is wrong.

`python -m attacks [--count N] [--seed N] [NAME…]` runs the modules of this folder. Each has `NAME`, `WHAT`
and `attack(count, seed)`, which returns its faults: an error that is not a sentence for users, or a hang.
"""
