from __future__ import annotations

from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentcore.training.openenv.schema_merging import Contradiction, merged

KEYWORDS: dict[str, st.SearchStrategy[Any]] = {
    "type": st.sampled_from(["integer", "number", "string", ["integer", "null"], "object"]),
    "enum": st.lists(st.sampled_from([1, True, "a", 2.5, None]), min_size=1, unique_by=repr),
    "minimum": st.integers(-3, 3),
    "exclusiveMaximum": st.integers(-3, 3),
    "multipleOf": st.sampled_from([1, 2, 0.5]),
    "maxLength": st.integers(0, 3),
    "pattern": st.sampled_from(["a", "b"]),
    "required": st.lists(st.sampled_from("ab"), unique=True),
    "additionalProperties": st.booleans(),
    "properties": st.dictionaries(st.sampled_from("ab"), st.sampled_from([{"const": 1}, {}, True])),
    "prefixItems": st.lists(st.sampled_from([{"type": "integer"}, True]), min_size=1, max_size=2),
    "items": st.sampled_from([{"type": "string"}, False]),
}
SCHEMA = st.fixed_dictionaries({}, optional=KEYWORDS)
SIMPLE = st.one_of(
    st.integers(-4, 4), st.booleans(), st.none(), st.sampled_from(["a", "ab", 2.5, "abcd"])
)
VALUE = st.one_of(
    SIMPLE, st.lists(SIMPLE, max_size=3), st.dictionaries(st.sampled_from("abc"), SIMPLE)
)


def takes(schema: Any, value: Any) -> bool:
    return jsonschema.Draft202012Validator(schema).is_valid(value)


@given(one=SCHEMA, two=SCHEMA, values=st.lists(VALUE, min_size=5))
def test_the_merged_schema_takes_what_both_take(one: Any, two: Any, values: list[Any]) -> None:
    try:
        together = merged(one, two)
    except Contradiction:
        assert not any(takes(one, value) and takes(two, value) for value in values)
    else:
        for value in values:
            assert takes(together, value) == (takes(one, value) and takes(two, value))


def test_steps_are_exact() -> None:
    assert merged({"multipleOf": 4}, {"multipleOf": 6})["multipleOf"] == 12
    assert merged({"multipleOf": 0.2}, {"multipleOf": 0.3})["multipleOf"] == pytest.approx(0.6)
