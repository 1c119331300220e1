"""What a request itself says about who may answer it: OpenRouter's ``provider`` object.

https://openrouter.ai/docs/features/provider-routing: the same members with the same meaning, on the
names of this gateway's own providers. A member that is not known here is refused: what somebody
wrote to be obeyed must not be passed over in silence.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Literal, NamedTuple, get_args

from agentcore.kit.jsonvalue import JsonValue
from agentcore.llm_gateway.errors import InvalidChatRequest

Sort = Literal["price", "throughput", "latency"]
SORTS: tuple[Sort, ...] = get_args(Sort)


class Policy(NamedTuple):
    """Wishes of one request. Prices are USD per million tokens; ``only`` None: everybody."""

    order: tuple[str, ...] = ()
    only: frozenset[str] | None = None
    ignore: frozenset[str] = frozenset()
    allow_fallbacks: bool = True
    deny_collection: bool = False
    zdr: bool = False
    quantizations: frozenset[str] = frozenset()
    regions: frozenset[str] = frozenset()
    sort: Sort | None = None
    max_prompt_price: float | None = None
    max_completion_price: float | None = None
    min_throughput: float | None = None
    max_latency: float | None = None


NO_POLICY = Policy()


def policy_of(given: JsonValue, regions: Iterable[str] = ()) -> Policy:
    """The policy that a request's ``provider`` member and its region header make up.

    Raises:
        InvalidChatRequest: a member is unknown or not what it must be.
    """
    known = frozenset(regions)
    if given is None:
        return NO_POLICY._replace(regions=known) if known else NO_POLICY
    if not isinstance(given, dict):
        raise _invalid("provider", "must be an object", given)
    policy = NO_POLICY._replace(regions=known)
    for name, value in given.items():
        read = READERS.get(name)
        if read is None:
            raise InvalidChatRequest(
                f"'provider.{name}' is not known here",
                hint=f"known are: {', '.join(READERS)}",
                param=f"provider.{name}",
            )
        if value is not None:
            policy = read(policy, f"provider.{name}", value)
    return policy


def _names(param: str, value: JsonValue) -> tuple[str, ...]:
    listed = [value] if isinstance(value, str) else value
    if not isinstance(listed, list):
        raise _invalid(param, "must be a list of names", value)
    names = tuple(name for name in listed if isinstance(name, str) and name)
    if len(names) != len(listed):
        raise _invalid(param, "must hold names only", value)
    return names


def _flag(param: str, value: JsonValue) -> bool:
    if not isinstance(value, bool):
        raise _invalid(param, "must be true or false", value)
    return value


def _pace(param: str, value: JsonValue) -> float:
    """A number, or numbers by percentile, of which the median counts."""
    if isinstance(value, dict):
        value = value.get("p50", next(iter(value.values()), None))
    return _positive(param, value)


def _denied(param: str, value: JsonValue) -> bool:
    if value not in ("allow", "deny"):
        raise _invalid(param, "must be 'allow' or 'deny'", value)
    return value == "deny"


def _sort(param: str, value: JsonValue) -> Sort:
    by = value.get("by") if isinstance(value, dict) else value
    for known in SORTS:
        if by == known:
            return known
    raise _invalid(param, f"must be one of {', '.join(SORTS)}", value)


def _required(policy: Policy, param: str, value: JsonValue) -> Policy:
    """Whoever cannot do what a call asks for is never a candidate: nothing is left to require."""
    _flag(param, value)
    return policy


def _capped(policy: Policy, param: str, value: JsonValue) -> Policy:
    if not isinstance(value, dict):
        raise _invalid(param, "must be an object with 'prompt' and 'completion'", value)
    unknown = sorted(value.keys() - {"prompt", "completion"})
    if unknown:
        raise _invalid(param, "knows 'prompt' and 'completion' only", unknown[0])
    prompt, completion = value.get("prompt"), value.get("completion")
    if prompt is not None:
        policy = policy._replace(max_prompt_price=_positive(f"{param}.prompt", prompt))
    if completion is not None:
        policy = policy._replace(max_completion_price=_positive(f"{param}.completion", completion))
    return policy


def _positive(param: str, value: JsonValue) -> float:
    try:
        number = float(value) if isinstance(value, int | float | str) else -1.0
    except ValueError:
        number = -1.0
    if isinstance(value, bool) or not 0 <= number < float("inf"):
        raise _invalid(param, "must be a number of at least 0", value)
    return number


def _invalid(param: str, what: str, value: JsonValue) -> InvalidChatRequest:
    return InvalidChatRequest(f"{param!r} {what}, not {value!r:.100}", param=param)


READERS: Mapping[str, Callable[[Policy, str, JsonValue], Policy]] = {
    "order": lambda policy, param, value: policy._replace(order=_names(param, value)),
    "only": lambda policy, param, value: policy._replace(only=frozenset(_names(param, value))),
    "ignore": lambda policy, param, value: policy._replace(ignore=frozenset(_names(param, value))),
    "quantizations": lambda policy, param, value: policy._replace(
        quantizations=frozenset(_names(param, value))
    ),
    "allow_fallbacks": lambda policy, param, value: policy._replace(
        allow_fallbacks=_flag(param, value)
    ),
    "require_parameters": _required,
    "zdr": lambda policy, param, value: policy._replace(zdr=_flag(param, value)),
    "data_collection": lambda policy, param, value: policy._replace(
        deny_collection=_denied(param, value)
    ),
    "sort": lambda policy, param, value: policy._replace(sort=_sort(param, value)),
    "max_price": _capped,
    "preferred_min_throughput": lambda policy, param, value: policy._replace(
        min_throughput=_pace(param, value)
    ),
    "preferred_max_latency": lambda policy, param, value: policy._replace(
        max_latency=_pace(param, value)
    ),
}
