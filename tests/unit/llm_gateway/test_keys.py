from __future__ import annotations

import pytest

from agentcore.kit.db import Database
from agentcore.kit.errors import InvalidInput, NotFound
from agentcore.llm_gateway.keys import CACHE_SECONDS, ApiKeys
from agentcore.llm_gateway.store import KeyStore
from agentcore.llm_gateway.terms import ApiKey
from tests.fakes.clock import ManualClock


@pytest.fixture
def keys(database: Database, clock: ManualClock) -> ApiKeys:
    return ApiKeys(KeyStore(lambda: database), clock)


async def test_a_key_names_its_owner(keys: ApiKeys) -> None:
    key, plaintext = await keys.create(subject="ann", tenant="acme", scopes=["llm"], private=True)
    assert plaintext.startswith(f"ac_{key.key_id}_")
    found = await keys.find(plaintext)
    assert found is not None
    assert (found.subject, found.tenant, found.key_id) == ("ann", "acme", key.key_id)
    assert found.scopes == {"llm"}
    assert found.private


async def test_the_secret_is_not_kept(keys: ApiKeys, database: Database) -> None:
    key, plaintext = await keys.create(subject="ann", tenant="acme", scopes=["llm"])
    stored = await KeyStore(lambda: database).find(key.key_id)
    assert stored is not None
    assert plaintext.encode() not in stored[1]
    assert plaintext not in repr(stored)


async def test_what_is_no_key_is_nobody(keys: ApiKeys) -> None:
    key, plaintext = await keys.create(subject="ann", tenant="acme", scopes=["llm"])
    for wrong in (
        plaintext + "x",
        plaintext[:-1],
        f"ac_{key.key_id}_",
        f"ac_{key.key_id}",
        "ac_" + "0" * 16 + "_" + "x" * 43,
        "ac_';DROP TABLE api_keys;--_x",
        "ac_\x00_x",
        "ac_\udcff_x",
        "",
        plaintext.removeprefix("ac_"),
    ):
        assert await keys.find(wrong) is None


async def test_a_revoked_key_is_nobody_at_once(keys: ApiKeys) -> None:
    key, plaintext = await keys.create(subject="ann", tenant="acme", scopes=["llm"])
    assert await keys.find(plaintext) is not None
    await keys.revoke(key.key_id, tenant="acme")
    assert await keys.find(plaintext) is None
    listed = await keys.list("acme")
    assert [each.key_id for each in listed if each.revoked_at] == [key.key_id]


async def test_what_was_read_before_a_revocation_is_not_kept(
    keys: ApiKeys, database: Database, clock: ManualClock
) -> None:
    class Slow(KeyStore):
        async def find(self, key_id: str) -> tuple[ApiKey, bytes] | None:
            found = await super().find(key_id)
            await slow.revoke(key_id, tenant="acme")
            return found

    _, plaintext = await keys.create(subject="ann", tenant="acme", scopes=["llm"])
    slow = ApiKeys(Slow(lambda: database), clock)
    # Read while it was good, answered when it was revoked.
    assert await slow.find(plaintext) is not None
    assert await slow.find(plaintext) is None


async def test_elsewhere_it_is_nobody_soon(
    keys: ApiKeys, database: Database, clock: ManualClock
) -> None:
    elsewhere = ApiKeys(KeyStore(lambda: database), clock)
    key, plaintext = await keys.create(subject="ann", tenant="acme", scopes=["llm"])
    assert await elsewhere.find(plaintext) is not None
    await keys.revoke(key.key_id, tenant="acme")
    clock.advance(CACHE_SECONDS + 0.1)
    assert await elsewhere.find(plaintext) is None


async def test_a_tenant_sees_and_revokes_its_own(keys: ApiKeys) -> None:
    key, plaintext = await keys.create(subject="ann", tenant="acme", scopes=["llm"])
    assert await keys.list("rival") == []
    with pytest.raises(NotFound):
        await keys.revoke(key.key_id, tenant="rival")
    assert await keys.find(plaintext) is not None


async def test_scopes_exist(keys: ApiKeys) -> None:
    with pytest.raises(InvalidInput, match="unknown scope 'everything'"):
        await keys.create(subject="ann", tenant="acme", scopes=["everything"])
