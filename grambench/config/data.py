"""The data set of a run: source, text fields, parts."""

from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from grambench.config.synthetic_answers import SyntheticAnswers
from grambench.config.table import Share, Table

Track = Literal["es_en", "fr_en"]
RepeatedAnswers = Literal["error", "first", "keep"]
NEWS_TABLES = "news-tables"
SOURCES = {
    "mind": "news",
    NEWS_TABLES: "news",
    "synthetic": "news",
    "duolingo": "knowledge-tracing",
    "poj": "knowledge-tracing",
    "ednet": "knowledge-tracing",
    "tables": "knowledge-tracing",
    "synthetic-answers": "knowledge-tracing",
}
"""`data.source` -> its domain, whose `sources` has a row for it."""


class FieldLimits(Table):
    """Maximum tokens of each text field of an item; 0 leaves the field out."""

    title: Annotated[int, Field(ge=0, le=512)] = 24
    """Tokens of the title, the model's leading and closing special tokens included."""
    abstract: Annotated[int, Field(ge=0, le=512)] = 0
    """Tokens of the abstract, its closing separator included."""
    body: Annotated[int, Field(ge=0, le=512)] = 0
    """Tokens of the article body, its closing separator included (bodies.tsv, see docs/data.md)."""

    @model_validator(mode="after")
    def _some_text(self) -> "FieldLimits":
        total = self.title + self.abstract + self.body
        if not 3 <= total <= 512:
            raise ValueError(f"title + abstract + body must be 3 to 512 tokens together, not {total}")
        return self


class SyntheticData(Table):
    """Size and distribution of generated data in MIND's format (`data.source = "synthetic"`)."""

    news: Annotated[int, Field(ge=50)] = 1000
    """Number of news items."""
    users: Annotated[int, Field(ge=10)] = 2000
    """Number of users."""
    train_impressions: Annotated[int, Field(ge=10)] = 4000
    """Impressions in the train split."""
    dev_impressions: Annotated[int, Field(ge=10)] = 1000
    """Impressions in the dev split."""
    topics: Annotated[int, Field(ge=2, le=200)] = 20
    """Planted topics: a user's taste is a mixture of a few of them."""
    history_mean: Annotated[float, Field(gt=0, le=400)] = 20.0
    """Mean clicks in a history."""
    candidates_mean: Annotated[float, Field(ge=2, le=300)] = 15.0
    """Mean candidates in an impression."""
    taste: Annotated[float, Field(ge=0, le=20)] = 4.0
    """How strongly a click follows the user's taste; 0 plants nothing."""
    seed: Annotated[int, Field(ge=0)] = 0
    """Seed of the generator."""


class Duolingo(Table):
    """The Duolingo SLAM data (`data.source = "duolingo"`)."""

    track: Track = "es_en"
    """Spanish or French, learned by speakers of English."""


class Data(Table):
    """The data set that a run learns from."""

    source: str = "mind"
    """News: `mind` (news.tsv and behaviors.tsv in `train/` and `dev/`), `news-tables` (items and
    impressions), `synthetic` (as `mind`, generated).
    Knowledge tracing: `duolingo`, `poj`, `ednet`, `tables` (items and interactions), `synthetic-answers`."""
    dataset: str = "mind-small"
    """Name used for downloads, checksums and labels."""
    dir: str | None = None
    """Folder with `train/` and `dev/`, or with tables; unset: the download cache. `--data-dir` sets it."""
    fields: FieldLimits = FieldLimits()
    """Token limits of the text fields."""
    unknown_items: Literal["error", "drop", "blank"] = "error"
    """Ids without a row in news.tsv: stop, leave them out (counted), or keep each as an item without text."""
    validation: Literal["last-day", "users"] = "last-day"
    """Part of train that selects the checkpoint: its last day, or a share of its users."""
    validation_share: Share = 0.05
    """Share of the train users used with `validation = "users"`."""
    protocol: Literal["honest", "paper"] = "honest"
    """`honest` selects on the validation part and scores dev once; `paper` selects on dev itself."""
    test_share: Share = 0.2
    """Knowledge tracing: share of the users that are tested, where the data set names no parts itself.
    `news-tables`, and a folder without train/ and dev/: share of the impressions, the newest; without times,
    of the users."""
    cold_items: Annotated[int, Field(ge=0)] = 0
    """Knowledge tracing: so many items lose their training answers; CSAUC is the AUC over their
    test answers."""
    seed: Annotated[int, Field(ge=0)] = 0
    """Knowledge tracing: draws the cold items."""
    repeated_answers: RepeatedAnswers = "error"
    """Knowledge tracing: answers in several rows (the same user, item and time; one row per skill), which let
    a model read what it predicts: stop, keep the first row of each (counted), or keep all of them."""
    predictions: bool = False
    """Write every trial's predictions of the test part, and of parts without labels, which are scored by the
    best weights but never evaluated: MIND's prediction files (news), a CSV (knowledge tracing)."""
    column_names: Literal["usual", "exact"] = "usual"
    """Tables: columns may have other usual names, in any case (docs/data.md), or only the documented ones."""
    device_gib: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 4.0
    """Token ids, and then interactions, are kept on the device up to this size (GiB), else in pinned host
    memory."""
    duolingo: Duolingo = Duolingo()
    synthetic: SyntheticData = SyntheticData()
    synthetic_answers: SyntheticAnswers = SyntheticAnswers()

    @field_validator("source")
    @classmethod
    def _known_source(cls, source: str) -> str:
        if source not in SOURCES:
            raise ValueError(f"unknown source {source!r}; known are {', '.join(SOURCES)}")
        return source

    @property
    def is_generated(self) -> bool:
        """True where no file is read."""
        return self.source.startswith("synthetic")

    @property
    def domain(self) -> str:
        """The domain of the source."""
        return SOURCES[self.source]
