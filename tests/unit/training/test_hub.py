from __future__ import annotations

import socket
import sys
from typing import Any

import pytest
from huggingface_hub import constants
from starlette.responses import JSONResponse

from agentcore.training.openenv.models import HubConfig
from agentcore.training.openenv.registration.errors import (
    HubError,
    HubNotInstalled,
    HubRateLimited,
    HubUnauthorized,
    HubUnavailable,
)
from agentcore.training.openenv.registration.hub import HuggingFaceHubClient
from tests.fakes.clock import InstantClock
from tests.fakes.hub import FakeHub, space


def client(url: str, **config: Any) -> HuggingFaceHubClient:
    return HuggingFaceHubClient(
        HubConfig.model_validate({"endpoint": url, **config}), InstantClock()
    )


async def test_spaces_become_specs_over_all_pages() -> None:
    hub = FakeHub([space(f"ann/env-{number}", "rl") for number in range(5)])
    hub.spaces.append(space("bob/other"))
    async with hub.running() as url:
        listing = await client(url).list_environments(tags=["rl"], author="ann")
    assert [spec.source_id for spec in listing.specs] == [f"ann/env-{n}" for n in range(5)]
    spec = listing.specs[0]
    assert (spec.name, spec.author, spec.license, spec.source) == ("env-0", "ann", "mit", "hub")
    assert str(spec.url) == "https://ann-env-0.hf.space/"
    assert spec.image == "registry.hf.space/ann-env-0:latest"
    assert spec.revision == hub.spaces[0]["sha"]
    assert spec.description == "env-0 environment"
    assert spec.tags == ("openenv", "rl")
    assert len(hub.asked) == 3
    query = hub.asked[0][1]
    assert query["filter"] == ["openenv", "rl"]
    assert "subdomain" in query["expand"]
    assert "full" not in query


async def test_authors_of_one_name_are_kept_apart() -> None:
    hub = FakeHub([space("ann/Echo_Env"), space("bob/echo_env")])
    async with hub.running() as url:
        listing = await client(url).list_environments()
    assert [(spec.name, spec.source_id) for spec in listing.specs] == [
        ("echo_env", "ann/Echo_Env"),
        ("echo_env", "bob/echo_env"),
    ]


async def test_private_spaces_want_the_token() -> None:
    hub = FakeHub([space("ann/open"), space("ann/closed", private=True)], token="hub-token-1")
    async with hub.running() as url:
        public = await client(url).list_environments()
        everything = await client(url, token="hub-token-1").list_environments()
        with pytest.raises(HubUnauthorized) as caught:
            await client(url, token="stale").list_environments()
    assert [spec.source_id for spec in public.specs] == ["ann/open"]
    assert [spec.source_id for spec in everything.specs] == ["ann/open", "ann/closed"]
    assert "token" in caught.value.hint
    assert "stale" not in f"{caught.value.detail} {caught.value.hint}"


async def test_without_a_token_none_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that is saved on the machine was not given to this service."""
    monkeypatch.setenv("HF_TOKEN", "somebodys-own")
    hub = FakeHub([space("ann/open")])
    async with hub.running() as url:
        await client(url).list_environments()
    assert {given for given, _ in hub.asked} == {""}


async def test_broken_cards_leave_the_others_alone() -> None:
    broken = [
        space("ann/no-sha", sha=None),
        space("ann/no-address", subdomain=None),
        space("ann/---"),
        space("ann/secret", subdomain="ann:hunter2@evil.example/"),
        space("ann/elsewhere", subdomain="evil.example#"),
        space("ann/odd-card", cardData="just text", tags=None),
        space("ann/odd-license", cardData={"license": ["mit", "other"], "title": 7}),
        space("ann/no-runtime", runtime=None, author=None),
    ]
    hub = FakeHub(answer=broken)
    async with hub.running() as url:
        listing = await client(url).list_environments()
    assert [spec.name for spec in listing.specs] == ["odd-card", "odd-license", "no-runtime"]
    assert listing.specs[0].tags == ()
    assert listing.specs[1].license is None
    assert listing.specs[2].author == "ann"
    skipped = {entry.path: entry.detail for entry in listing.skipped}
    assert [*skipped] == [each["id"] for each in broken[:5]]
    assert skipped["ann/no-sha"] == "it has no revision"
    assert "name" in skipped["ann/---"]
    assert skipped["ann/secret"] == skipped["ann/elsewhere"]
    assert "hunter2" not in skipped["ann/secret"]


@pytest.mark.parametrize(
    ("status", "headers", "error"),
    [
        (429, {"retry-after": "7"}, HubRateLimited),
        (403, {}, HubUnauthorized),
        (503, {}, HubUnavailable),
        (404, {}, HubError),
        (307, {"location": "/api/spaces"}, HubUnavailable),
    ],
)
async def test_refusals_are_typed(
    status: int, headers: dict[str, str], error: type[HubError]
) -> None:
    hub = FakeHub([space("ann/env")])
    hub.failing = [JSONResponse({}, status, headers)] * 80
    async with hub.running() as url:
        with pytest.raises(error) as caught:
            await client(url).list_environments()
    assert type(caught.value) is error
    assert caught.value.hint
    if error is HubRateLimited:
        assert caught.value.retry_after == 7
        assert len(hub.asked) == 1


async def test_a_short_wait_is_waited_for() -> None:
    hub = FakeHub([space(f"ann/env-{number}") for number in range(3)])
    async with hub.running() as url:
        hub.failing = [JSONResponse({}, 429, {"retry-after": "2"}), JSONResponse({}, 502)]
        listing = await client(url).list_environments()
    assert len(listing.specs) == 3


async def test_a_fault_in_the_middle_of_the_pages_is_typed() -> None:
    hub = FakeHub([space(f"ann/env-{number}") for number in range(3)])
    async with hub.running() as url:
        hub.failing = [hub.page(hub.spaces, {}), JSONResponse({"error": "gone"}, 410)]
        with pytest.raises(HubError) as caught:
            await client(url).list_environments()
    assert "410" in caught.value.detail


async def test_a_hub_that_hangs_is_given_up() -> None:
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        url = f"http://127.0.0.1:{deaf.getsockname()[1]}"
        with pytest.raises(HubUnavailable):
            await client(url, seconds=0.2).list_environments()


async def test_offline_mode_of_the_library_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    hub = FakeHub([space("ann/env")])
    async with hub.running() as url:
        with pytest.raises(HubUnavailable) as caught:
            await client(url).list_environments()
    assert "HF_HUB_OFFLINE" in caught.value.hint
    assert hub.asked == []


async def test_a_hub_that_is_away_says_what_else_works() -> None:
    hub = FakeHub()
    async with hub.running() as url:
        pass
    with pytest.raises(HubUnavailable) as caught:
        await client(url).list_environments()
    assert "agentcore env import" in caught.value.hint


@pytest.mark.parametrize("answer", [{"spaces": []}, ["text"], [{"name": "no id"}], 7])
async def test_what_is_no_hub_is_said_to_be_none(answer: Any) -> None:
    hub = FakeHub(answer=answer)
    async with hub.running() as url:
        with pytest.raises(HubError) as caught:
            await client(url).list_environments()
    assert "endpoint" in caught.value.hint


async def test_a_missing_library_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    hub = FakeHub()
    async with hub.running() as url:
        with pytest.raises(HubNotInstalled) as caught:
            await client(url).list_environments()
    assert caught.value.hint == "pip install 'agentcore[hub]'"
