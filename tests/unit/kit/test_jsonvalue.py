from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentcore.kit.jsonvalue import (
    JsonValue,
    dumps,
    loads,
    loads_leniently,
    nested_deeper,
    object_in,
    objects_of,
)

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(min_value=-(2**53), max_value=2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(alphabet=st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner) | st.dictionaries(st.text("abcé\u0000", max_size=3), inner),
    max_leaves=20,
)


@given(JSON)
def test_what_is_written_is_read_back(value: object) -> None:
    assert loads(dumps(value)) == value


@pytest.mark.parametrize("text", [b"", b"{", b'{"a":NaN}', b"\xff", b"[1,]", b"{} {}"])
def test_what_is_not_json_is_refused(text: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        loads(text)


@pytest.mark.parametrize(
    ("text", "read"),
    [
        (b'{"a": [1, "\\ud83d\\ude00"]}', {"a": [1, "\U0001f600"]}),
        (b'{"a\\udc00": "\\ud83d!"}', {"a\ufffd": "\ufffd!"}),
        (b'["\xf0\x9f", NaN]', ["\ufffd", float("nan")]),
        (b"[-Infinity, 1e999, null]", [float("-inf"), float("inf"), None]),
        (b"[NaN, 98765432109876543210, -7]", [float("nan"), 98765432109876543210.0, -7]),
    ],
)
def test_what_careless_servers_write_is_read_and_can_be_written(text: bytes, read: object) -> None:
    value = loads_leniently(text)
    assert repr(value) == repr(read)
    loads(dumps(value))


@pytest.mark.parametrize("text", [b"", b"{", b"<html>", b"[1,]", b"{} {}", b"[" * 100_000])
def test_what_nobody_would_take_is_refused(text: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        loads_leniently(text)


@pytest.mark.parametrize("text", [b"", b"404 page not found", b"[1]", b"\xff"])
def test_of_what_is_no_object_nothing_is_known(text: bytes) -> None:
    assert object_in(text) == {}
    assert objects_of([{"a": 1}, text.decode(errors="replace"), [{}]]) == [{"a": 1}]


def test_nesting_is_measured_without_recursion() -> None:
    value: JsonValue = [1, {"a": "b"}]
    assert nested_deeper(value, 1)
    assert not nested_deeper(value, 2)
    assert not nested_deeper("text", 0)
    for _ in range(100_000):
        value = [value]
    assert nested_deeper(value, 200)
