"""Several processes on one home, coming and going at every moment, in every way."""

from __future__ import annotations

import os
import random
import shutil
import signal
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import asyncpg
import pytest

from agentcore.kit.embedded import open_embedded
from agentcore.kit.jsonvalue import JsonObject
from tests.fakes.deployment import copy_data
from tests.unit.kit.embedded.homes import (
    Client,
    client,
    fresh_home,
    pauses_of,
    processes_of,
    server_pid,
    used_home,
    wait_until,
)


@pytest.fixture(scope="module", name="used_home")
def shared_home() -> Iterator[Path]:
    """One home for all tests that do not need an empty one: they leave it stopped."""
    with used_home() as path:
        yield path


def dsn(answer: JsonObject) -> str:
    return str(answer["database_url"]).replace("+asyncpg", "")


async def ask(url: str, statement: str) -> object:
    connection = await asyncpg.connect(url)
    try:
        return await connection.fetchval(statement)
    finally:
        await connection.close()


async def test_processes_that_start_together_on_nothing_share_one_database() -> None:
    with fresh_home() as home, ExitStack() as stack:
        clients = [stack.enter_context(client(home)) for _ in range(4)]
        answers = [each.answer() for each in clients]
        assert all(answer == answers[0] for answer in answers)
        cluster = "SELECT system_identifier FROM pg_control_system()"
        assert len({await ask(dsn(answer), cluster) for answer in answers}) == 1
        assert not list(home.glob("postgres.new-*"))
        assert (home / "logs" / "postgres.log").read_text().count("starting PostgreSQL") == 1
        assert (home / "logs" / "valkey.log").read_text().count("Ready to accept") == 1
        for each in clients[:3]:
            each.kill()
        assert await ask(dsn(answers[3]), "SELECT 1") == 1
        clients[3].kill()
        wait_until(lambda: not processes_of(home), "a process was left behind")


async def test_a_second_opening_finds_what_the_first_wrote(used_home: Path) -> None:
    for expected in (None, 7):
        async with open_embedded(used_home) as servers:
            url = servers.database_url.replace("+asyncpg", "")
            found = await ask(url, "SELECT to_regclass('kept')::text")
            assert (found is None) == (expected is None)
            if expected is None:
                await ask(url, "CREATE TABLE kept (n int)")
                await ask(url, "INSERT INTO kept VALUES (7)")
            else:
                assert await ask(url, "SELECT n FROM kept") == expected


async def test_a_client_that_comes_while_the_servers_stop_gets_working_ones(
    used_home: Path,
) -> None:
    with client(used_home) as first:
        first.answer()
    chance = random.Random(7)
    for _ in range(8):
        time.sleep(chance.uniform(0, 0.15))
        async with open_embedded(used_home) as servers:
            url = servers.database_url.replace("+asyncpg", "")
            assert await ask(url, "SELECT 1") == 1
            assert servers.redis_url is not None


def test_a_client_killed_at_any_moment_of_its_start_leaves_nothing(used_home: Path) -> None:
    for delay in (0.2, 0.3, 0.35, 0.4, 0.45, 0.5):
        with client(used_home) as killed:
            time.sleep(delay)
            killed.kill()
        wait_until(lambda: not processes_of(used_home), "a process was left behind")
    with client(used_home) as after:
        assert "failed" not in after.answer()


def test_a_client_killed_while_it_makes_the_database_leaves_nothing() -> None:
    with fresh_home() as home:
        with client(home) as killed:
            wait_until(lambda: any(home.glob("postgres.new-*")), "initdb did not start")
            killed.kill()
        wait_until(lambda: not processes_of(home), "a process was left behind")
        with client(home) as after:
            assert "failed" not in after.answer()
            assert not list(home.glob("postgres.new-*"))


def test_signals_to_a_clients_group_stop_nobody_elses_servers(used_home: Path) -> None:
    with client(used_home) as interrupted, client(used_home) as other:
        interrupted.answer()
        other.answer()
        before = processes_of(used_home)
        os.killpg(interrupted.process.pid, signal.SIGKILL)
        interrupted.process.wait()
        time.sleep(0.2)
        after = processes_of(used_home)
        assert set(before) - set(after) == {interrupted.process.pid}


async def test_a_home_with_a_long_path_works_for_all_its_processes() -> None:
    with fresh_home() as short:
        home = short / ("x" * 60) / ("y" * 60)
        home.mkdir(mode=0o700, parents=True)
        copy_data(home)
        with client(home) as first, client(home) as second:
            answer = first.answer()
            assert answer == second.answer()
            assert await ask(dsn(answer), "SELECT 1") == 1
            folder = Path(str(answer["redis_url"]).removeprefix("unix://")).parent
            assert folder.stat().st_mode & 0o777 == 0o700
        wait_until(lambda: not processes_of(home), "a process was left behind")
        shutil.rmtree(folder)


async def test_a_users_settings_for_postgres_reach_neither_server_nor_client(
    used_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {"PGPORT": "5999", "PGDATA": "/absent", "SOME_SECRET": "s3"}.items():
        monkeypatch.setenv(name, value)
    async with open_embedded(used_home) as servers:
        assert await ask(servers.database_url.replace("+asyncpg", ""), "SELECT 1") == 1
        for name in ("postgres", "valkey"):
            environment = Path(f"/proc/{server_pid(used_home, name)}/environ").read_bytes()
            assert b"SECRET" not in environment
            assert b"PG" not in environment


async def test_joining_waits_for_nothing(used_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with client(used_home) as first:
        first.answer()
        pauses = [await pauses_of(open_embedded(used_home), monkeypatch) for _ in range(3)]
        # A server that has no time answers late, once perhaps.
        assert min(pauses) == 0
    wait_until(lambda: not processes_of(used_home), "a process was left behind")
    assert await pauses_of(open_embedded(used_home), monkeypatch) > 0


def test_the_processes_of_a_home_are_found_by_these_tests(used_home: Path) -> None:
    """The proof that nothing is left is worth as much as the look that it rests on."""
    with client(used_home) as running:
        running.answer()
        shown = " ".join(processes_of(used_home).values())
        assert all(word in shown for word in ("bin/postgres", "valkey-server", "watchdog.py"))
        assert isinstance(running, Client)
