import math
from typing import Any

import jsonschema
import pytest
from pydantic import ValidationError

from grambench.reports.schema import Gpu, Spread, json_schema
from grambench.reports.section import Reasons, finite


def objects(schema: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    return [("Report", schema), *schema["$defs"].items()]


def test_the_schema_is_a_json_schema_of_version_1() -> None:
    schema = json_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    assert schema["properties"]["schema_version"]["const"] == 1


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
    why = Reasons()
    assert why.given("loss", value, "absent") is None
    assert "finite" in why["loss"]
    assert finite({"a": [1.0, value, ("x", value)]}) == {"a": [1.0, None, ["x", None]]}


def test_reasons_are_noted_for_what_is_missing_only() -> None:
    why = Reasons()
    assert why.given("steps", 0, "absent") == 0
    assert why.given("auc", None, "absent") is None
    assert why == {"auc": "absent"}
