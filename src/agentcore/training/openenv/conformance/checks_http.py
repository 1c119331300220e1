"""HTTP's /reset, /step and /state: one fresh environment per request, and 422 for what is wrong."""

from __future__ import annotations

from agentcore.kit.jsonvalue import JsonObject, JsonValue, list_of, object_of
from agentcore.training.openenv.conformance.judging import NotApplicable, check, checks_of, require
from agentcore.training.openenv.conformance.playing import first_action, require_envelope
from agentcore.training.openenv.conformance.schemas import unfit
from agentcore.training.openenv.conformance.subject import Answer, Subject

TASKS = "HTTP: task API"
RESET, STEP = "HTTP: POST /reset", "HTTP: POST /step"


@check("http-reset", "POST /reset answers with a first observation", RESET)
async def http_reset(subject: Subject) -> None:
    bodies: tuple[JsonObject, ...] = (
        {},
        {"seed": 3, "episode_id": "e", "agentcore_conformance_unheard_of": 1},
    )
    for body in bodies:
        answer = await _posted(subject, "/reset", body)
        require(answer.status == 200, f"200 for {body}", str(answer))
        require_envelope(answer.members)
        require(answer.members["done"] is False, "done to be false", str(answer))


@check("http-step", "POST /step takes an action and answers with an observation", STEP, "should")
async def http_step(subject: Subject) -> None:
    body: JsonObject = {"action": first_action(subject), "timeout_s": 5}
    answer = await _posted(subject, "/step", body)
    require(answer.status == 200, "200", str(answer))
    require_envelope(answer.members)


@check("http-stateless", "Each HTTP request has an environment of its own", "HTTP: GET /state")
async def http_stateless(subject: Subject) -> None:
    action = first_action(subject)
    for _ in range(2):
        await _posted(subject, "/step", {"action": action})
    answer = await subject.get("/state")
    count = answer.members.get("step_count")
    require(answer.status == 200 and count == 0, "200 and step_count 0", str(answer))


@check("http-reset-422", "A reset that is wrong is 422 with the fields", RESET)
async def http_reset_422(subject: Subject) -> None:
    bodies: tuple[JsonValue, ...] = ({"seed": -1}, {"seed": "x"}, {"episode_id": "e" * 256}, [1])
    for body in bodies:
        _is_422(await _posted(subject, "/reset", body), body)


@check("http-step-422", "A step that is wrong is 422 with the fields", STEP)
async def http_step_422(subject: Subject) -> None:
    action = first_action(subject)
    wrong = unfit(subject.action_space, action)
    bodies: list[JsonValue] = [
        {},
        {"action": [1]},
        {"action": action, "timeout_s": 0},
        {"action": action, "request_id": "r" * 256},
    ]
    bodies += [] if wrong is None else [{"action": wrong}]
    # A bare action is no request, unless it has a member of that name itself.
    bodies += [] if "action" in action else [action]
    for body in bodies:
        _is_422(await _posted(subject, "/step", body), body)
    _is_422(await subject.post_text("/step", "{"), "{")


@check("tasks", "Task sets are told for the environment, and 404 for another", TASKS)
async def tasks(subject: Subject) -> None:
    listed = await subject.get("/list_environments")
    if listed.status == 404:
        raise NotApplicable("there is no /list_environments")
    names = list_of(listed.body)
    require(listed.status == 200 and bool(names), "200 and a list of names", str(listed))
    splits = await subject.get(f"/{names[0]}/splits")
    told = splits.status == 200 and isinstance(splits.body, list)
    # An environment without task sets says so by 501.
    require(told or splits.status == 501, "a list of splits, or 501", str(splits))
    other = await subject.get("/agentcore-conformance-nobodys/splits")
    require(other.status == 404, "404 for the splits of another environment", str(other))
    for split in list_of(splits.body)[:1]:
        await _counted(subject, str(names[0]), str(object_of(split).get("name", split)))


async def _counted(subject: Subject, name: str, split: str) -> None:
    """As many tasks as are told, and 400 behind the last."""
    answer = await subject.post(f"/{name}/num_tasks", {"split": split})
    count = answer.members.get("num_tasks")
    if answer.status == 501:
        return
    require(isinstance(count, int), "200 and a number of tasks", str(answer))
    last = await subject.post(f"/{name}/task", {"split": split, "index": count})
    require(last.status in {400, 501}, f"400 for task {count} of {count}", str(last))


async def _posted(subject: Subject, path: str, body: JsonValue) -> Answer:
    answer = await subject.post(path, body)
    if answer.status == 404:
        raise NotApplicable(f"there is no {path}: a server in production mode has none")
    if answer.status in {401, 403}:
        raise NotApplicable(f"{path} answers {answer.status}: the token may not do this")
    return answer


def _is_422(answer: Answer, body: JsonValue) -> None:
    require(answer.status == 422, f"422 for {str(body)[:100]}", str(answer))
    faults = list_of(answer.members.get("detail"))
    good = all({"loc", "msg", "type"} <= object_of(fault).keys() for fault in faults)
    require(bool(faults) and good, "a detail with loc, msg and type per fault", str(answer))


CHECKS = checks_of(globals())
