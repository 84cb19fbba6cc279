import dataclasses
import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from pydantic import ValidationError

from grambench.events import types as ev
from grambench.reports.schema import Gpu, Spread, VectorFacts, json_schema
from grambench.reports.section import OLDER_LOG, Section, build_section, finite


def objects(schema: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    return [("Report", schema), *schema["$defs"].items()]


def test_the_schema_is_a_json_schema_of_version_2() -> None:
    schema = json_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    assert schema["properties"]["schema_version"]["const"] == 2


@pytest.mark.parametrize(("name", "part"), objects(json_schema()))
def test_every_object_is_closed_and_every_field_described(name: str, part: dict[str, Any]) -> None:
    assert part["additionalProperties"] is False, name
    for field, description in part["properties"].items():
        assert description.get("description"), f"{name}.{field}"


def gpu(**fields: Any) -> Gpu:
    known: dict[str, Any] = {"name": "H200", "uuid": "GPU-a", "memory_total_bytes": 1}
    return Gpu(**known | fields)


def test_a_null_needs_its_reason() -> None:
    assert gpu(memory_total_bytes=None, reasons={"memory_total_bytes": "lost"}).memory_total_bytes is None
    with pytest.raises(ValidationError, match="memory_total_bytes"):
        gpu(memory_total_bytes=None)


def test_a_reason_without_a_null_is_refused() -> None:
    with pytest.raises(ValidationError, match="memory_total_bytes"):
        gpu(reasons={"memory_total_bytes": "lost"})


@pytest.mark.parametrize("changes", [{"extra": 1}, {"name": 3}, {"memory_total_bytes": "1"}])
def test_unknown_fields_and_loose_types_are_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        gpu(**changes)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_no_number_is_without_a_value(value: float) -> None:
    with pytest.raises(ValidationError):
        Spread(n=2, mean=value, standard_deviation=0.0)
    assert finite({"a": [1.0, value, ("x", value)]}) == {"a": [1.0, None, ["x", None]]}


class Measured(Section):
    """A section as a report has many."""

    steps: int
    loss: float | None
    auc: float | None
    seconds: float | None


@dataclass(frozen=True)
class Told:
    """An event with the fields of the section, and one more."""

    steps: int = 0
    loss: float | None = None
    other: str = "not of the section"


def test_a_section_has_what_its_sources_hold_under_its_names_and_a_reason_for_each_null() -> None:
    built = build_section(Measured, Told(), None, reasons={"seconds": "not timed"}, auc=math.inf)
    assert (built.steps, built.loss, built.auc, built.seconds) == (0, None, None, None)
    assert built.reasons == {
        "seconds": "not timed",
        "loss": OLDER_LOG,
        "auc": "the measured value is not a finite number",
    }
    assert build_section(Measured, Told(3, 0.5), auc=0.75, seconds=1.0, steps=4).steps == 4


def test_a_new_field_of_an_event_and_its_section_needs_no_line_in_between() -> None:
    @dataclass(frozen=True)
    class Newer(ev.EncoderChecked):
        peak_bytes: int | None = None

    class NewerFacts(VectorFacts):
        peak_bytes: int | None = None

    old = Newer(equal=True, tolerance=1e-5, items=3, relative=1e-7)
    assert build_section(NewerFacts, dataclasses.replace(old, peak_bytes=7)).peak_bytes == 7
    assert build_section(NewerFacts, old).reasons == {"peak_bytes": OLDER_LOG}


def test_a_field_that_nobody_holds_is_a_mistake_of_the_code() -> None:
    with pytest.raises(AttributeError, match=r"Measured\.auc"):
        build_section(Measured, Told(), seconds=1.0)
    with pytest.raises(ValidationError, match="typo"):
        build_section(Measured, None, steps=1, typo=2)


def test_the_published_schema_is_that_of_the_code() -> None:
    """`make schema` writes it."""
    published = Path(__file__).parents[3] / "docs" / "report.schema.json"
    assert json.loads(published.read_text()) == json_schema()
