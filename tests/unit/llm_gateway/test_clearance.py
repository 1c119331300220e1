from __future__ import annotations

import pytest

from agentcore.llm_gateway.clearance import Cleared, Destination
from agentcore.llm_gateway.errors import PrivacyViolationError
from agentcore.llm_gateway.models import ChatCall

OPEN = ChatCall(model="m", body={})
PRIVATE = ChatCall(model="m", body={}, requires_privacy=True)
VAULT = Destination("vault", private=True)
WORLD = Destination("world")


def test_what_is_not_private_goes_anywhere() -> None:
    assert Cleared(OPEN, WORLD).for_sending(WORLD) is OPEN
    assert Cleared(OPEN, VAULT).for_sending(VAULT) is OPEN


def test_what_is_private_goes_where_it_may() -> None:
    assert Cleared(PRIVATE, VAULT).for_sending(VAULT) is PRIVATE


def test_no_proof_can_be_made_for_a_leak() -> None:
    with pytest.raises(PrivacyViolationError, match="may not go to 'world'"):
        Cleared(PRIVATE, WORLD)


def test_a_proof_is_for_one_destination() -> None:
    with pytest.raises(PrivacyViolationError, match="handed to 'world'"):
        Cleared(PRIVATE, VAULT).for_sending(WORLD)
    with pytest.raises(PrivacyViolationError, match="handed to 'vault'"):
        Cleared(PRIVATE, VAULT).for_sending(Destination("vault", private=False))


def test_a_destination_is_known_by_what_it_is() -> None:
    assert Cleared(PRIVATE, VAULT).for_sending(Destination("vault", private=True)) is PRIVATE


def test_a_proof_forged_past_its_constructor_is_seen_at_the_send() -> None:
    forged = Cleared(PRIVATE, VAULT)
    object.__setattr__(forged, "destination", WORLD)
    with pytest.raises(PrivacyViolationError):
        forged.for_sending(WORLD)
