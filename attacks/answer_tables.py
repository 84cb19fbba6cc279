"""Two tables of answers."""

from attacks.assault import assault
from attacks.data_folders import answer_tables, reader, table

NAME = "answer-tables"
WHAT = "items and interactions as CSV, TSV, parquet, .gz, .zst"
FORMS = ("csv", "tsv", "parquet", "csv.gz", "tsv.zst")


def attack(count: int, seed: int) -> list[str]:
    """Faults of each form of the tables."""
    items, rows = answer_tables()
    faults = []
    for form in FORMS:
        files = {
            f"{name}.{form}": table(of, f"{name}.{form}")
            for name, of in (("items", items), ("interactions", rows))
        }
        faults += assault(
            f"{NAME} {form}",
            files,
            reader(source="tables", validation_share=0.3, test_share=0.3),
            count,
            seed,
        )
    return faults
