from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest
from sqlalchemy.engine import make_url

from agentcore.kit.embedded.layout import Home, open_home
from agentcore.kit.embedded.locks import Patience, try_lock
from agentcore.kit.embedded.postgres import Postgres
from agentcore.kit.embedded.unit import Unit
from agentcore.kit.errors import StartupError
from tests.unit.kit.embedded.homes import used_home


@pytest.fixture(scope="module")
def place() -> Iterator[Home]:
    """A home whose database is up."""
    with used_home() as path:
        opened = open_home(path)
        client = try_lock(opened.clients, "shared")
        assert client is not None
        Unit(opened, Postgres(opened)).ensure(Patience(60))
        yield opened
        os.close(client)


async def test_it_is_durable_unicode_and_on_a_private_socket_only(place: Home) -> None:
    server = Postgres(place)
    assert server.probe() == "ready"
    assert (server.socket_folder / ".s.PGSQL.5432").stat().st_mode & 0o777 == 0o700
    assert place.data.stat().st_mode & 0o777 == 0o700
    connection = await asyncpg.connect(host=str(server.socket_folder), user="agentcore")
    shown = {
        name: await connection.fetchval(f"SHOW {name}")
        for name in ("listen_addresses", "fsync", "synchronous_commit", "server_encoding")
    }
    assert shown == {
        "listen_addresses": "",
        "fsync": "on",
        "synchronous_commit": "on",
        "server_encoding": "UTF8",
    }
    sorted_names = "SELECT string_agg(x, '' ORDER BY x) FROM unnest('{b,ä,a,B}'::text[]) x"
    assert await connection.fetchval(sorted_names) == "Babä"
    assert await connection.fetchval("SELECT upper('ä')") == "Ä"
    await connection.close()


def test_its_url_is_what_the_drivers_take(place: Home) -> None:
    url = make_url(Postgres(place).url)
    assert url.drivername == "postgresql+asyncpg"
    assert (url.username, url.database) == ("agentcore", "agentcore")
    assert url.query == {"host": str(place.path / "run"), "port": "5432"}


def test_its_process_is_told_from_others(place: Home) -> None:
    server = Postgres(place)
    pid = server.noted_pid()
    assert pid is not None
    assert server.is_process(pid)
    assert not server.is_process(os.getpid())
    assert not Postgres(Home(place.path.parent / "other")).is_process(pid)


def test_reasons_are_the_servers_own_words(place: Home) -> None:
    server = Postgres(place)
    full = 'x [1] FATAL:  the database system is starting up\nx [2] FATAL:  could not write "a"\n'
    assert server.reason(full).text == 'could not write "a"'
    assert server.reason("initdb: error: no room\n").text == "no room"
    killed = server.reason("x [2] FATAL:  the database system is starting up\n")
    assert (killed.text, killed.known) == ("it ended without a word", False)
    held = "FATAL:  pre-existing shared memory block (key 1, ID 2) is still in use"
    assert server.reason(held).passes
    assert not server.reason(full).passes


def test_data_of_another_version_is_refused_with_its_path(tmp_path: Path) -> None:
    place = open_home(tmp_path)
    place.data.mkdir(mode=0o700)
    (place.data / "PG_VERSION").write_text("17\n")
    with pytest.raises(StartupError, match=f"{place.data} was made by PostgreSQL 17, not 18"):
        Postgres(place).prepare()


def test_what_a_killed_initdb_left_is_cleared(tmp_path: Path) -> None:
    place = open_home(tmp_path)
    (tmp_path / "postgres.new-left" / "base").mkdir(parents=True)
    Postgres(place).prepare()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["locks", "logs", "postgres", "run"]


@pytest.mark.parametrize("content", ["", "rubbish", "{living}\n/data\n", "{gone}\n/data\n"])
def test_only_pid_files_that_could_mislead_are_removed(tmp_path: Path, content: str) -> None:
    """PostgreSQL looks after the remains of a server whose process is gone by itself."""
    place = open_home(tmp_path)
    place.data.mkdir(mode=0o700)
    (place.data / "PG_VERSION").write_text("18\n")
    with subprocess.Popen(["/bin/sleep", "60"]) as other:
        note = place.data / "postmaster.pid"
        note.write_text(content.format(living=other.pid, gone=2**22 + 1))
        Postgres(place).prepare()
        assert note.exists() == ("gone" in content)
        assert other.poll() is None
        other.kill()
