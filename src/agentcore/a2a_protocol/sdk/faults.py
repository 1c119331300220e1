"""The SDK's errors and ours, where one has to pass as the other."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from a2a.utils import errors as sdk

from agentcore.a2a_protocol.errors import (
    InvalidParams,
    TaskNotCancelable,
    TaskNotFound,
    UnsupportedOperation,
)
from agentcore.kit.errors import AgentCoreError, InternalError

OURS: Mapping[type[sdk.A2AError], type[AgentCoreError]] = {
    sdk.TaskNotFoundError: TaskNotFound,
    sdk.TaskNotCancelableError: TaskNotCancelable,
    sdk.UnsupportedOperationError: UnsupportedOperation,
    sdk.InvalidParamsError: InvalidParams,
}


@contextmanager
def protocol_errors() -> Iterator[None]:
    """Raise the SDK's error of the same number for one of ours."""
    try:
        yield
    except AgentCoreError as error:
        theirs = next((key for key, value in OURS.items() if isinstance(error, value)), None)
        if theirs is None:
            raise
        raise theirs(f"{error.detail}. {error.hint}".strip(". ")) from error


@contextmanager
def our_errors() -> Iterator[None]:
    """Raise ours for the SDK's; what has no number of the protocol is an internal error."""
    try:
        yield
    except sdk.A2AError as error:
        ours = next((value for key, value in OURS.items() if isinstance(error, key)), InternalError)
        raise ours(error.message) from error
