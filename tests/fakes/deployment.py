"""AgentCore as its operator runs it: a process of its own on a home of its own."""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import Any

import httpx2

from agentcore.kit.db_migrations import scripts
from agentcore.kit.embedded import postgres
from agentcore.kit.embedded.binaries import postgres_folder
from agentcore.kit.embedded.layout import open_home
from agentcore.kit.embedded.locks import Patience, locked
from agentcore.settings import load_settings, token_authority
from tests.fakes.launching import Launched, finished, launch
from tests.fakes.ports import free_port
from tests.fakes.process_table import living

# Patience with a machine that has more to do; on an idle one all of it takes a second.
START_SECONDS = 120.0
STOP_SECONDS = 200.0
MEMORY = Path("/dev/shm")
MUCH = 4 << 30
PATIENT = {
    "AGENTCORE_CACHE__TIMEOUT": "20",
    "AGENTCORE_DATABASE__CONNECT_TIMEOUT": "60",
    "AGENTCORE_DATABASE__POOL_TIMEOUT": "60",
}


def clean_environment(**more: str) -> dict[str, str]:
    """This process's environment without settings of the tester's own."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("AGENTCORE_", "ACE_"))
    }
    # A process that is aborted tells where it was.
    return {**kept, "PYTHONFAULTHANDLER": "1", **more}


def agentcore(
    *arguments: str,
    home: Path,
    env: Mapping[str, str] | None = None,
    seconds: float = START_SECONDS,
) -> subprocess.CompletedProcess[str]:
    """Run one command to its end."""
    return finished(
        list(arguments),
        environment=clean_environment(AGENTCORE_HOME=str(home), **(env or {})),
        folder=home if home.is_dir() else None,
        seconds=seconds,
    )


def new_folder() -> Path:
    """With a short path; it is its maker's to remove."""
    return Path(tempfile.mkdtemp(prefix="ac-", dir=memory()))


@cache
def memory() -> Path | None:
    """A folder in memory, if there is much of it: files cost half as much there."""
    try:
        found = os.statvfs(MEMORY)
    except OSError:
        return None
    usable = os.access(MEMORY, os.W_OK) and not found.f_flag & os.ST_NOEXEC
    return MEMORY if usable and found.f_bavail * found.f_frsize >= MUCH else None


@contextmanager
def short_home() -> Iterator[Path]:
    """A home with a short path; waits until its servers are gone before it is removed."""
    home = new_folder()
    try:
        yield home
        wait_until(lambda: not processes_of(home), "its servers are gone")
    finally:
        for pid in processes_of(home):
            os.kill(pid, signal.SIGKILL)
        shutil.rmtree(home, ignore_errors=True)


@contextmanager
def used_home() -> Iterator[Path]:
    """As ``short_home``, with the database that a first start has made: that takes seconds."""
    with short_home() as home:
        copy_data(home)
        yield home


def copy_data(home: Path) -> None:
    """Give a home that has no database yet a migrated one, of a server that was stopped.

    The first copy of a checkout's is made by the command that its user has for it.
    """
    kept = open_home(checkouts_folder("data")).path
    data = kept / migrations_digest(Path(postgres.__file__), postgres_folder() / "postgres")
    with locked(kept / "locks" / "copying", "exclusive", Patience(START_SECONDS)):
        if not data.exists():
            for outdated in kept.glob("*/PG_VERSION"):
                shutil.rmtree(outdated.parent)
            with short_home() as first:
                made = agentcore("db", "upgrade", home=first)
                assert made.returncode == 0, made.stderr
                wait_until(lambda: not processes_of(first), "its servers are gone")
                # Homes may be on another device, from which nothing can be renamed.
                draft = data.with_suffix(".draft")
                shutil.rmtree(draft, ignore_errors=True)
                _copy(first / "postgres", draft)
                draft.rename(data)
        _copy(data, home / "postgres")


def _copy(data: Path, target: Path) -> None:
    subprocess.run(["/bin/cp", "-Rp", str(data), str(target)], check=True)


def checkouts_folder(purpose: str) -> Path:
    """Kept between runs, one per checkout and user: short, for sockets' paths have 107 bytes."""
    checkout = hashlib.sha256(str(Path(__file__).parents[1]).encode()).hexdigest()[:10]
    folder = memory() or Path(tempfile.gettempdir())
    return folder / f"agentcore-{purpose}-{os.getuid()}-{checkout}"


@cache
def migrations_digest(*more: Path) -> str:
    """Another one whenever the text of a migration changes, or one of these files."""
    digest = hashlib.sha256()
    for file in (*sorted((scripts() / "versions").glob("*.py")), *more):
        digest.update(file.read_bytes())
    return digest.hexdigest()[:12]


def processes_of(home: Path) -> list[int]:
    """Processes that name ``home`` in their command line."""
    return [row.pid for row in living() if str(home) in row.command and row.pid != os.getpid()]


def wait_until(condition: Any, what: str, seconds: float = STOP_SECONDS) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"not within {seconds} s: {what}"
        time.sleep(0.02)


@dataclass
class Deployment:
    home: Path
    settings: Mapping[str, str] = field(default_factory=dict)
    port: int = field(default_factory=free_port)
    process: Launched | None = None
    starts: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def log(self) -> Path:
        return self.home / f"serve-{self.port}-{self.starts}.log"

    def start(self, *, ready: bool = True) -> None:
        self.starts += 1
        with self.log.open("wb") as output:
            self.process = launch(
                ["serve", "--port", str(self.port)],
                environment=clean_environment(
                    **PATIENT, AGENTCORE_HOME=str(self.home), **self.settings
                ),
                folder=self.home,
                output=output,
                errors=output,
            )
        if ready:
            wait_until(self.is_ready, f"{self.url} is ready", START_SECONDS)

    def is_ready(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, self.log.read_text()
        try:
            return httpx2.get(f"{self.url}/health/ready", timeout=2).status_code == 200
        except httpx2.TransportError:
            return False

    def token(self, *scopes: str, subject: str = "tester", tenant: str = "default") -> str:
        """As ``agentcore token`` makes one, without a process for each."""
        environ = {"AGENTCORE_HOME": str(self.home), **self.settings}
        return token_authority(load_settings(environ=environ)).issue(
            subject=subject,
            tenant=tenant,
            scopes=scopes or ("admin",),
            lifetime=timedelta(hours=1),
        )

    def client(self, *scopes: str, **owner: str) -> httpx2.Client:
        headers = {"authorization": f"Bearer {self.token(*scopes, **owner)}"}
        return httpx2.Client(base_url=self.url, headers=headers, timeout=120)

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def stop(self) -> int:
        """SIGTERM; returns the exit code."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.send_signal(signal.SIGABRT)
            self.process.wait()
            raise AssertionError(f"does not stop: {self.log.read_text()}") from None


@contextmanager
def deployed(**settings: str) -> Iterator[Deployment]:
    """A started deployment; on leaving, nothing of it is left behind."""
    with used_home() as home:
        deployment = Deployment(home, settings)
        deployment.start()
        try:
            yield deployment
        finally:
            if deployment.process is not None and deployment.process.poll() is None:
                deployment.stop()


@contextmanager
def simulated_cluster(*options: str) -> Iterator[str]:
    """The base URL of a simulated model cluster in a process of its own."""
    port = free_port()
    with Path(os.devnull).open("wb") as nowhere:
        process = launch(
            ["simulate", "cluster", "--port", str(port), *options],
            environment=clean_environment(),
            folder=None,
            output=nowhere,
            errors=nowhere,
        )
    url = f"http://127.0.0.1:{port}"

    def answers() -> bool:
        assert process.poll() is None
        try:
            return httpx2.get(f"{url}/simulator/health", timeout=2).status_code == 200
        except httpx2.TransportError:
            return False

    try:
        wait_until(answers, f"{url} answers")
        yield url
    finally:
        process.terminate()
        process.wait()


def providers(**urls: str) -> str:
    """The setting ``llm_gateway.providers`` for simulated upstreams by name: kind from the name."""
    listed = []
    for name, url in urls.items():
        own = name.startswith("cluster")
        kind, address = ("parallax", url) if own else ("compatible", f"{url}/v1")
        price = "" if own else ', "price_model": "gpt-5-mini"'
        listed.append(
            f'{{"name": "{name}", "kind": "{kind}", "base_url": "{address}", '
            f'"private": {str(own).lower()}, '
            f'"models": {{"playbook-7b": "simulated/playbook-7b"}}{price}}}'
        )
    return f"[{', '.join(listed)}]"
