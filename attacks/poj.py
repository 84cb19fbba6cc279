"""POJ."""

from attacks.assault import assault
from attacks.data_folders import reader

NAME = "poj"
WHAT = "poj_log.csv and contents.tsv"


def attack(count: int, seed: int) -> list[str]:
    """Faults of the reader of POJ."""
    rows = [
        f"user{n % 5},2019-03-01 10:{n:02}:02,{1000 + n % 6},{'Accepted' if n % 2 else 'Wrong Answer'}"
        for n in range(30)
    ]
    log = "\n".join(["User,Submit Time,Problem,Result", *rows, ""]).encode()
    texts = "".join(f"{1000 + n}\tProblem {n}\n" for n in range(6)).encode()
    return assault(NAME, {"poj_log.csv": log, "contents.tsv": texts}, reader(source="poj"), count, seed)
