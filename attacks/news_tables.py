"""Two tables of news."""

from attacks.assault import assault
from attacks.data_folders import news_tables, reader, table

NAME = "news-tables"
WHAT = "items and impressions as CSV, TSV, parquet, .gz, .zst"
FORMS = ("csv", "tsv", "parquet", "csv.gz", "tsv.zst")


def attack(count: int, seed: int) -> list[str]:
    """Faults of each form of the tables."""
    items, rows = news_tables()
    faults = []
    for form in FORMS:
        files = {
            f"{name}.{form}": table(of, f"{name}.{form}")
            for name, of in (("items", items), ("impressions", rows))
        }
        faults += assault(f"{NAME} {form}", files, reader(source="news-tables"), count, seed)
    return faults
