from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from agentcore.kit.db import Database, StorageUnavailable
from agentcore.kit.errors import InvalidInput, NotFound, Unauthenticated
from agentcore.llm_gateway.keys import CACHE_SECONDS, OUTAGE_SECONDS, PAUSE_SECONDS, ApiKeys
from agentcore.llm_gateway.store import KeyStore
from agentcore.llm_gateway.terms import ApiKey, KeyHolder, Terms
from tests.fakes.clock import ManualClock


@pytest.fixture
def keys(database: Database, clock: ManualClock) -> ApiKeys:
    return ApiKeys(KeyStore(lambda: database), clock, patience=60)


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
    listed = (await keys.page("acme", limit=9, cursor=""))[0]
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
    slow = ApiKeys(Slow(lambda: database), clock, patience=60)
    # Read while it was good, answered when it was revoked.
    assert await slow.find(plaintext) is not None
    assert await slow.find(plaintext) is None


async def test_elsewhere_it_is_nobody_soon(
    keys: ApiKeys, database: Database, clock: ManualClock
) -> None:
    elsewhere = ApiKeys(KeyStore(lambda: database), clock, patience=60)
    key, plaintext = await keys.create(subject="ann", tenant="acme", scopes=["llm"])
    assert await elsewhere.find(plaintext) is not None
    await keys.revoke(key.key_id, tenant="acme")
    clock.advance(CACHE_SECONDS + 0.1)
    assert await elsewhere.find(plaintext) is None


async def test_who_present_a_key_at_once_have_it_read_once(
    keys: ApiKeys, database: Database, clock: ManualClock
) -> None:
    class Counting(KeyStore):
        asked = 0

        async def find(self, key_id: str) -> tuple[ApiKey, bytes] | None:
            self.asked += 1
            return await super().find(key_id)

    _, plaintext = await keys.create(subject="ann", tenant="acme", scopes=["llm"])
    store = Counting(lambda: database)
    many = ApiKeys(store, clock, patience=60)
    for reads in (1, 2):
        found = await asyncio.gather(*(many.find(plaintext) for _ in range(9)))
        assert {each.subject for each in found if each is not None} == {"ann"}
        assert (None in found, store.asked) == (False, reads)
        clock.advance(CACHE_SECONDS)
    # The one that reads for all may leave; the others ask themselves.
    first, second = (asyncio.ensure_future(many.find(plaintext)) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()
    assert await second is not None


async def test_a_tenant_sees_and_revokes_its_own(keys: ApiKeys) -> None:
    key, plaintext = await keys.create(subject="ann", tenant="acme", scopes=["llm"])
    assert (await keys.page("rival", limit=9, cursor=""))[0] == []
    with pytest.raises(NotFound):
        await keys.revoke(key.key_id, tenant="rival")
    assert await keys.find(plaintext) is not None


async def test_scopes_exist(keys: ApiKeys) -> None:
    with pytest.raises(InvalidInput, match="unknown scope 'everything'"):
        await keys.create(subject="ann", tenant="acme", scopes=["everything"])


TERMS = Terms(models=("qwen*",), requests_per_minute=5, tokens_per_minute=7, ceiling=2)


async def test_a_key_has_terms_and_they_can_be_replaced(keys: ApiKeys, clock: ManualClock) -> None:
    later = clock.now() + timedelta(days=1)
    key, plaintext = await keys.create(
        subject="ann", tenant="acme", scopes=["llm"], terms=TERMS, expires_at=later
    )
    holder = await keys.find(plaintext)
    assert isinstance(holder, KeyHolder)
    assert holder.terms == TERMS
    changed = await keys.change(key.key_id, tenant="acme", terms=Terms(), expires_at=None)
    assert (changed.terms, changed.expires_at) == (Terms(), None)
    holder = await keys.find(plaintext)
    assert isinstance(holder, KeyHolder)
    assert holder.terms == Terms()
    with pytest.raises(NotFound):
        await keys.change(key.key_id, tenant="rival", terms=TERMS, expires_at=None)


async def test_a_key_expires_at_its_moment_however_often_it_is_asked_for(
    keys: ApiKeys, clock: ManualClock
) -> None:
    later = clock.now() + timedelta(seconds=2)
    _, plaintext = await keys.create(subject="ann", tenant="acme", scopes=["llm"], expires_at=later)
    assert await keys.find(plaintext) is not None
    clock.advance(2.0)
    with pytest.raises(Unauthenticated, match="has expired at 2026-01-01T00:00:02Z"):
        await keys.find(plaintext)
    # Who has not the whole key learns nothing of it.
    assert await keys.find(plaintext[:-1]) is None
    with pytest.raises(InvalidInput, match="is over"):
        await keys.create(subject="a", tenant="t", scopes=["llm"], expires_at=clock.now())


async def test_without_a_database_known_keys_go_on_for_a_while(
    keys: ApiKeys, database: Database, clock: ManualClock
) -> None:
    class Away(KeyStore):
        away = False

        async def find(self, key_id: str) -> tuple[ApiKey, bytes] | None:
            if self.away:
                raise StorageUnavailable("gone")
            return await super().find(key_id)

    store = Away(lambda: database)
    elsewhere = ApiKeys(store, clock, patience=60)
    _, plaintext = await keys.create(subject="ann", tenant="acme", scopes=["llm"])
    _, unseen = await keys.create(subject="bob", tenant="acme", scopes=["llm"])
    assert await elsewhere.find(plaintext) is not None
    store.away = True
    clock.advance(OUTAGE_SECONDS - 1)
    assert await elsewhere.find(plaintext) is not None
    with pytest.raises(StorageUnavailable):
        await elsewhere.find(unseen)
    clock.advance(1)
    with pytest.raises(StorageUnavailable):
        await elsewhere.find(plaintext)


async def test_a_database_that_hangs_is_waited_for_by_one_call_now_and_then(
    database: Database, clock: ManualClock
) -> None:
    class Hanging(KeyStore):
        asked = 0
        hangs = False
        kept: tuple[ApiKey, bytes] | None = None

        async def find(self, key_id: str) -> tuple[ApiKey, bytes] | None:
            self.asked += 1
            if self.hangs:
                await asyncio.Event().wait()
            return self.kept

    store = Hanging(lambda: database)
    keys = ApiKeys(store, clock, patience=0.01)
    key, plaintext = await keys.create(subject="ann", tenant="acme", scopes=["llm"])
    store.kept = await KeyStore(lambda: database).find(key.key_id)
    assert await keys.find(plaintext) is not None
    store.hangs = True
    for seconds, asked in ((CACHE_SECONDS, 2), (1, 2), (PAUSE_SECONDS, 3), (PAUSE_SECONDS, 4)):
        clock.advance(seconds)
        found = await asyncio.gather(*(keys.find(plaintext) for _ in range(3)))
        assert all(each is not None and each.subject == "ann" for each in found)
        # The first time nobody knows yet that it hangs.
        assert store.asked in (asked, asked + 2)
        store.asked = asked
    with pytest.raises(StorageUnavailable, match=r"not answered for 0\.01 s"):
        await keys.find("ac_" + "0" * 16 + "_" + "x" * 43)
    store.hangs = False
    clock.advance(PAUSE_SECONDS)
    store.asked = 0
    assert await keys.find(plaintext) is not None
    assert await keys.find(plaintext) is not None
    assert store.asked == 1


async def test_keys_are_paged(keys: ApiKeys) -> None:
    made = [
        (await keys.create(subject=f"s{n}", tenant="acme", scopes=["llm"]))[0].key_id
        for n in range(5)
    ]
    seen: list[str] = []
    cursor: str | None = ""
    while cursor is not None:
        page, cursor = await keys.page("acme", limit=2, cursor=cursor)
        seen += [key.key_id for key in page]
    assert sorted(seen) == sorted(made)
