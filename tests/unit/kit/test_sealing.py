from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentcore.kit.sealing import Sealing, Unsealable

OLD, NEW = "o" * 32, "n" * 32


@given(st.binary(max_size=64), st.text(max_size=8))
async def test_what_was_sealed_is_opened_at_its_place_alone(plain: bytes, place: str) -> None:
    sealing = Sealing([OLD])
    sealed = await sealing.seal(plain, place)
    assert await sealing.opened(sealed, place) == plain
    with pytest.raises(Unsealable, match="another place"):
        await sealing.opened(sealed, f"{place}/elsewhere")


async def test_nothing_of_it_can_be_seen_and_no_two_are_alike() -> None:
    sealing = Sealing([OLD])
    one, other = [await sealing.seal(b"credentials" * 3, "p") for _ in range(2)]
    assert one != other
    raw = base64.urlsafe_b64decode(one.partition(".")[2])
    assert b"credentials" not in raw
    assert OLD not in one


async def test_a_new_secret_seals_and_the_old_one_still_opens() -> None:
    before = await Sealing([OLD]).seal(b"x", "p")
    both = Sealing([NEW, OLD])
    assert await both.opened(before, "p") == b"x"
    after = await both.seal(b"x", "p")
    assert await Sealing([NEW]).opened(after, "p") == b"x"
    with pytest.raises(Unsealable, match="not known"):
        await Sealing([OLD]).opened(after, "p")


CHANGES = ["", ".", "no-dot", "00000000.AAAA", "{name}.", "{name}.AAAA", "{name}.%%%"]


@pytest.mark.parametrize("change", [*CHANGES, "{name}.{text}AAAA", "{name}.B{text}"])
async def test_whatever_is_found_instead_is_refused(change: str) -> None:
    sealing = Sealing([OLD])
    name, _, text = (await sealing.seal(b"content", "p")).partition(".")
    with pytest.raises(Unsealable):
        await sealing.opened(change.format(name=name, text=text), "p")
