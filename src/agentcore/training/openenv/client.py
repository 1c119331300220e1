"""OpenEnvClient: episodes of an OpenEnv environment, with nothing silently wrong."""

from __future__ import annotations

import base64
import binascii
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Literal, Self, TypeVar
from urllib.parse import quote, urlsplit

from pydantic import AnyHttpUrl

from agentcore.kit.clock import SYSTEM_CLOCK, Clock
from agentcore.kit.errors import InvalidInput
from agentcore.kit.jsonvalue import JsonObject, dumps
from agentcore.kit.resilience import retry
from agentcore.training.openenv.connection import Connection, Refused
from agentcore.training.openenv.describing import bearer, describe
from agentcore.training.openenv.encoding import (
    ActionEncoder,
    decode_observation,
    decode_step,
    holds_unwritten,
)
from agentcore.training.openenv.errors import (
    ActionMappingError,
    CapacityReached,
    EnvironmentNotReset,
    EpisodeOver,
    OpenEnvConnectionError,
    OpenEnvError,
    OpenEnvHTTPError,
    OpenEnvInvalidActionError,
    OpenEnvResetError,
    OpenEnvRetryError,
    OpenEnvSpecError,
    OpenEnvStepError,
    SessionLost,
    StepTimeout,
)
from agentcore.training.openenv.events import EventSource
from agentcore.training.openenv.models import Action, EnvironmentInfo, Observation, StepResult
from agentcore.training.openenv.turn import Turn
from agentcore.training.openenv.websocket import Coming

__all__ = [
    "Action",
    "ActionMappingError",
    "CapacityReached",
    "EnvironmentInfo",
    "EpisodeOver",
    "Observation",
    "OpenEnvClient",
    "OpenEnvConnectionError",
    "OpenEnvHTTPError",
    "OpenEnvInvalidActionError",
    "OpenEnvResetError",
    "OpenEnvRetryError",
    "OpenEnvSpecError",
    "OpenEnvStepError",
    "SessionLost",
    "StepResult",
    "StepTimeout",
]

T = TypeVar("T")
Phase = Literal["idle", "playing", "over", "lost"]
_WS_SCHEMES = {"http": "ws", "https": "wss", "ws": "ws", "wss": "wss"}
_HTTP_SCHEMES = {"http": "http", "https": "https", "ws": "http", "wss": "https"}
FIRST_CAPACITY_PAUSE, LONGEST_CAPACITY_PAUSE = 0.05, 1.0
_CHANCE = random.Random()


class OpenEnvClient:
    """One session of an OpenEnv server (0.2.0 to 0.10.0), for one episode after another.

    Calls of several tasks take turns. Connecting and reading are repeated when they fail, at most
    ``max_retries`` times in all; a step never is, for nobody knows whether it took place. When a
    session is lost or a step times out, every further step raises ``SessionLost`` until ``reset``.

        async with OpenEnvClient("http://127.0.0.1:8001/envs/guess_number") as client:
            await client.reset(seed=0)
            result = await client.step(Action(type="guess", parameters={"number": 50}))
    """

    def __init__(
        self,
        env_url: str | AnyHttpUrl,
        timeout: float = 30.0,
        max_retries: int = 3,
        *,
        token: str = "",
        connect_timeout: float = 10.0,
        capacity_timeout: float = 0.0,
        max_episode_steps: int | None = None,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        """``timeout`` bounds a step or reset; ``max_episode_steps`` truncates on this side.

        ``capacity_timeout`` is how long to wait for a free session where all are taken.
        """
        self.base_url = _base_url(str(env_url))
        for seconds in (timeout, connect_timeout):
            # NaN is not, and would put the event loop's timers out of order.
            if not seconds > 0:
                raise InvalidInput(f"a timeout of {seconds} seconds", hint="give more than 0")
        self.timeout = timeout
        self.max_retries = max_retries
        scheme, _, rest = self.base_url.partition("://")
        self._socket_url = f"{_WS_SCHEMES[scheme]}://{rest}/ws"
        self._session_id: str | None = None
        self._headers = bearer(token)
        self._connect_timeout = connect_timeout
        self._capacity_timeout = capacity_timeout
        self._limit = max_episode_steps
        self._clock = clock
        self._info: EnvironmentInfo | None = None
        self._encoder: ActionEncoder | None = None
        self._connection: Connection | None = None
        self._phase: Phase = "idle"
        self._steps = 0
        self._turn = Turn()
        self._under_way: Coming | None = None
        self._events = EventSource()

    async def __aenter__(self) -> Self:
        await self.connect()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def connect(self, session_id: str | None = None) -> EnvironmentInfo:
        """Learn what the environment is and take a session of it.

        With ``session_id`` attach to one that was made before (upstream's
        ``openenv/session/create``), in place of the one that is held.

        Raises:
            OpenEnvConnectionError: nobody answers; ``CapacityReached`` when no session is free.
            OpenEnvSpecError: what answers is no OpenEnv server, or its schemas are none.
            SessionLost: there is no session ``session_id``, or somebody else is attached.
        """
        async with self._turn:
            info, _ = await self._described()
            if session_id is not None:
                await self._leave()
                self._session_id = session_id
            await self._session()
        return info

    async def reset(
        self, seed: int | None = None, options: JsonObject | None = None
    ) -> Observation:
        """Start an episode, in a new session if the last one is lost.

        ``options`` are what the environment takes besides; ``episode_id`` is one everywhere.

        Raises:
            OpenEnvResetError: the environment refused or failed.
        """
        request: JsonObject = {} if seed is None else {"seed": seed}
        if "seed" in (options or {}):
            raise OpenEnvResetError("the options hold a seed", hint="give it as the argument seed")
        request.update(options or {})
        try:
            asked = dumps(request)
        except TypeError as exc:
            raise OpenEnvResetError(f"the options have no JSON form: {exc}") from exc
        if holds_unwritten(request, asked):
            raise OpenEnvResetError("the options hold NaN or infinity, which JSON has not")
        async with self._turn:
            await self._described()
            self._phase = "idle"
            data = await self._reset_exchange(asked)
            try:
                observation = decode_observation(data)
            except OpenEnvSpecError:
                if self._connection is not None:
                    self._connection.abort()
                self._give_up()
                raise
            self._phase, self._steps = "playing", 0
            if self._events.watched:
                self._tell("reset", observation)
        return observation

    async def step(self, action: Action) -> StepResult:
        """Execute one action; never repeated.

        Raises:
            OpenEnvInvalidActionError: the action does not fit; nothing was executed.
            OpenEnvStepError: it failed. ``EpisodeOver``, ``SessionLost``, ``StepTimeout`` say how.
        """
        if not self._turn.take():
            await self._turn.wait()
        return await self.finish_step(self._sent(action))

    def begin_step(self, action: Action) -> Coming | None:
        """Send a step now; ``finish_step`` or ``abandon_step`` must follow.

        None while another call has its turn, and then nothing was sent. Raises as ``step`` does.
        """
        return self._sent(action) if self._turn.take() else None

    async def finish_step(self, coming: Coming) -> StepResult:
        """The outcome of the step that ``begin_step`` sent; raises as ``step`` does."""
        connection = self._connection
        if self._under_way is not coming or connection is None:
            raise InvalidInput("this step has had its result, or was abandoned")
        try:
            data = await connection.answer("step", coming)
            if self._under_way is not coming:
                raise _lost()
            self._steps += 1
            result = decode_step(data, limit_reached=self._steps == self._limit)
        except TimeoutError as exc:
            self.abandon_step(coming)
            raise self._late("step") from exc
        except Refused as refusal:
            self._end(coming)
            raise _step_error(refusal) from refusal
        except BaseException:
            # Also an answer that makes no sense leaves open what happened.
            self.abandon_step(coming)
            raise
        self._end(coming)
        if result.done:
            self._phase = "over"
        if self._events.watched:
            self._tell("done" if result.done else "step", result.observation, result)
        return result

    def abandon_step(self, coming: Coming) -> None:
        """Give up the session, as nobody will know what the step did; nothing once it has ended."""
        # Then the turn is somebody else's, and so is what they have opened.
        if self._under_way is coming:
            coming.cancel()
            if self._connection is not None:
                self._connection.abort()
            self._give_up()
            self._end(coming)

    async def state(self) -> JsonObject:
        """The environment's own state: ``episode_id``, ``step_count`` and what it adds."""
        return await self._ask("state")

    async def render(self) -> bytes | None:
        """A PNG image of the episode, or None where the server draws none."""
        async with self._turn:
            info, _ = await self._described()
        if "render" not in info.features:
            return None
        image = (await self._ask("render")).get("image")
        try:
            return base64.b64decode(image, validate=True) if isinstance(image, str) else None
        except binascii.Error as exc:
            raise OpenEnvSpecError(f"the server's image is not base64: {exc}") from exc

    @property
    def phase(self) -> Phase:
        """Where the episode stands; ``lost`` until a reset, when the session broke off in it."""
        return self._phase

    def subscribe_updates(self) -> AsyncIterator[JsonObject]:
        """This client's events from now on, until it closes.

        ``type`` is reset, step, done, lost or closed. A slow reader loses the oldest events, and
        the next one tells how many in ``missed``.
        """
        return self._events.subscribe()

    async def close(self) -> None:
        """End the session; a further ``connect`` or ``reset`` opens another."""
        async with self._turn:
            self._events.publish({"type": "closed", "step": self._steps})
            self._events.end()
            await self._leave()

    async def _leave(self) -> None:
        connection, self._connection = self._connection, None
        self._phase, self._session_id = "idle", None
        if connection is not None:
            await connection.close()

    async def _described(self) -> tuple[EnvironmentInfo, ActionEncoder]:
        if self._info is None:
            self._info = await self._retried(
                lambda: describe(
                    self.base_url, headers=self._headers, seconds=self._connect_timeout
                )
            )
        if self._encoder is None:
            self._encoder = ActionEncoder(self._info.action_space)
        return self._info, self._encoder

    async def _session(self) -> Connection:
        if self._connection is None or not self._connection.alive:
            # An episode does not go on in the environment that a new session gets.
            self._give_up()
            end = self._clock.monotonic() + self._capacity_timeout
            self._connection = await self._retried(lambda: self._admitted(end))
        return self._connection

    async def _admitted(self, end: float) -> Connection:
        """A session of its own, as soon as one is free and before ``end``."""
        url, pause = self._socket_url, FIRST_CAPACITY_PAUSE
        if self._session_id is not None:
            url += f"?session_id={quote(self._session_id, safe='')}"
        while True:
            try:
                return await Connection.open(
                    url, headers=self._headers, seconds=self._connect_timeout
                )
            except CapacityReached:
                left = end - self._clock.monotonic()
                if left <= 0:
                    raise
            except OpenEnvConnectionError as exc:
                if (
                    self._session_id is not None
                    and exc.context.get("server_code") == "SESSION_ERROR"
                ):
                    hint = "it is used elsewhere or has ended: create another"
                    raise SessionLost(f"cannot attach to the session: {exc}", hint=hint) from exc
                raise
            # All who wait at once must not come back at once.
            await self._clock.sleep(min(left, pause * (0.5 + _CHANCE.random())))
            pause = min(2 * pause, LONGEST_CAPACITY_PAUSE)

    async def _retried(self, work: Callable[[], Awaitable[T]]) -> T:
        passing = (OpenEnvConnectionError, OpenEnvRetryError)
        return await retry(work, on=passing, attempts=max(1, self.max_retries), clock=self._clock)

    async def _reset_exchange(self, asked: bytes) -> JsonObject:
        before = self._connection
        connection = await self._session()
        try:
            try:
                return await self._exchange(connection, "reset", asked)
            except SessionLost:
                # A socket that died between episodes shows it only now; a reset begins anew. One
                # that was opened for this reset did not survive it: the next would not either.
                if connection is not before:
                    raise
                return await self._exchange(await self._session(), "reset", asked)
        except TimeoutError as exc:
            raise OpenEnvResetError(
                f"no answer to reset within {self.timeout} s",
                hint="raise the timeout, or look at the server's log",
            ) from exc
        except SessionLost as exc:
            hint = "the server's log says why; reset tries again"
            raise OpenEnvResetError(f"reset lost the session: {exc}", hint=hint) from exc
        except Refused as refusal:
            raise OpenEnvResetError(str(refusal), server_code=refusal.code) from refusal

    async def _ask(self, kind: str) -> JsonObject:
        async with self._turn:
            connection = self._connection
            if self._phase == "idle":
                connection = await self._session()
            if self._phase == "lost" or connection is None:
                raise _lost()
            try:
                return await self._exchange(connection, kind)
            except TimeoutError as exc:
                raise self._late(kind) from exc
            except Refused as refusal:
                raise OpenEnvError(str(refusal), server_code=refusal.code) from refusal

    async def _exchange(
        self, connection: Connection, kind: str, data: bytes | None = None
    ) -> JsonObject:
        """One frame and its answer; whatever leaves the answer open gives up the session."""
        try:
            return await connection.call(kind, data, seconds=self.timeout)
        except Refused:
            raise
        except BaseException:
            self._give_up()
            raise

    def _sent(self, action: Action) -> Coming:
        """Send a step, the turn being taken; where that fails it is free again."""
        try:
            connection, encoder = self._playing()
            asked = encoder.encode_json(action)
            try:
                coming = connection.ask("step", asked, self.timeout)
            except OpenEnvError:
                self._give_up()
                raise
        except BaseException:
            self._turn.release()
            raise
        self._under_way = coming
        return coming

    def _end(self, coming: Coming) -> None:
        if self._under_way is coming:
            self._under_way = None
            self._turn.release()

    def _give_up(self) -> None:
        self._connection = None
        if self._phase in {"playing", "over"}:
            self._phase = "lost"
            self._events.publish({"type": "lost", "step": self._steps})

    def _late(self, asked: str) -> StepTimeout:
        detail = f"no answer to {asked} within {self.timeout} s; the session is given up"
        return StepTimeout(detail, hint="reset starts a new session; or raise the timeout")

    def _playing(self) -> tuple[Connection, ActionEncoder]:
        if self._phase == "over":
            raise EpisodeOver("the episode has ended", hint="reset starts the next one")
        if self._phase == "idle":
            raise EnvironmentNotReset("no episode has begun", hint="call reset first")
        if self._phase == "lost" or self._connection is None or self._encoder is None:
            raise _lost()
        return self._connection, self._encoder

    def _tell(self, kind: str, observation: Observation, result: StepResult | None = None) -> None:
        event: JsonObject = {
            "type": kind,
            "step": self._steps,
            "state": observation.state,
            "metadata": observation.metadata,
        }
        if result is not None:
            outcome = result.model_dump(include={"reward", "terminated", "truncated"})
            event.update(outcome)
        self._events.publish(event)


def _base_url(url: str) -> str:
    try:
        parts = urlsplit(url)
        _ = parts.port  # Judged only when it is read.
    except ValueError as exc:
        raise InvalidInput(f"{url!r} is not a URL: {exc}") from exc
    if parts.scheme not in _HTTP_SCHEMES or not parts.netloc:
        raise InvalidInput(
            f"{url!r} is not the URL of an environment",
            hint="give http://host:port with any path prefix",
        )
    if "@" in parts.netloc:
        # Named in errors and logs, where no secret may be.
        raise InvalidInput("the URL holds credentials", hint="give the token as an argument")
    return f"{_HTTP_SCHEMES[parts.scheme]}://{parts.netloc}{parts.path}".rstrip("/")


def _lost() -> SessionLost:
    return SessionLost("the session of this episode is lost", hint="reset starts a new one")


def _step_error(refusal: Refused) -> OpenEnvStepError:
    if refusal.code == "VALIDATION_ERROR":
        errors = refusal.data.get("errors")
        listed = errors if isinstance(errors, list) else []
        faults = [entry for entry in listed if isinstance(entry, dict)]
        return OpenEnvInvalidActionError(str(refusal), faults)
    return OpenEnvStepError(str(refusal), server_code=refusal.code)
