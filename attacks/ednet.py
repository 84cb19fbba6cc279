"""EdNet KT1."""

from attacks.assault import assault
from attacks.data_folders import reader

NAME = "ednet"
WHAT = "students' files, questions.csv and contents.tsv of EdNet KT1"


def attack(count: int, seed: int) -> list[str]:
    """Faults of the reader of EdNet."""
    head = "timestamp,solving_id,question_id,user_answer,elapsed_time\n"
    files = {
        f"KT1/u{user}.csv": head
        + "".join(f"{1565096190868 + 1000 * n},{n},q{n % 6},{'abcd'[n % 4]},38000\n" for n in range(8))
        for user in range(8)
    }
    files["questions.csv"] = (
        "question_id,bundle_id,explanation_id,correct_answer,part,tags,deployed_at\n"
        + "".join(f"q{n},b{n},e{n},{'abcd'[n % 4]},2,9,-1\n" for n in range(6))
    )
    files["contents.tsv"] = "".join(f"q{n}\tQuestion {n}\n" for n in range(6))
    stored = {name: text.encode() for name, text in files.items()}
    return assault(NAME, stored, reader(source="ednet", validation_share=0.3, test_share=0.3), count, seed)
