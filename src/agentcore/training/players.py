"""From the name of a policy to what makes its players."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Mapping
from pathlib import Path
from random import Random

from agentcore.kit.jsonvalue import JsonObject
from agentcore.training.errors import PolicyNotFound
from agentcore.training.openenv.environments.catalog import BUNDLED
from agentcore.training.openenv.environments.policies import POLICIES, chance
from agentcore.training.openenv.models import Action, EnvironmentInfo
from agentcore.training.openenv.policy import PolicyFactory
from agentcore.training.openenv.sampling import sample_action
from agentcore.training.rollouts import PlayerFactory

FORMS = "package.module:callable, which takes a seed and returns a player with `act`"


class SampledPolicy:
    """Plays what fits the action space, where nobody knows the game."""

    def __init__(self, info: EnvironmentInfo, random: Random) -> None:
        self._info = info
        self._random = random

    def act(self, observation: JsonObject) -> Action:
        return sample_action(self._info, self._random)


def known_policies(info: EnvironmentInfo) -> Mapping[str, PolicyFactory]:
    """The policies for an environment that one can name: all have ``random``.

    The bundled environments bring theirs along, whoever serves them: what counts is that the
    server's action space is that of the bundled environment with this name.
    """
    bundled = BUNDLED.get(info.name)
    if bundled is not None and info.name in POLICIES:
        environment = bundled()
        if environment.action_space() == info.action_space:
            return POLICIES[info.name].by_name()
    return {"random": lambda seed: SampledPolicy(info, chance(seed))}


def find_policy(name: str, info: EnvironmentInfo) -> PlayerFactory:
    """A named policy of the environment; no code is imported for it.

    Raises:
        PolicyNotFound: the environment has none of this name.
    """
    known = known_policies(info)
    if name not in known:
        hint = f"it has: {', '.join(known)}; or give {FORMS}"
        raise PolicyNotFound(f"{info.name} has no policy {name!r}", hint=hint)
    return known[name]


def load_policy(reference: str, info: EnvironmentInfo) -> PlayerFactory:
    """A named policy, or the callable at ``package.module:callable``, which is imported.

    Raises:
        PolicyNotFound: no such policy, or it cannot be imported.
    """
    module, colon, name = reference.rpartition(":")
    if not colon:
        return find_policy(reference, info)
    # As python -m does: a module beside the caller is found.
    if (here := str(Path.cwd())) not in sys.path:
        sys.path.insert(0, here)
    try:
        found = getattr(importlib.import_module(module), name)
    except Exception as exc:
        detail = f"the policy {reference} cannot be imported: {type(exc).__name__}: {exc}"
        raise PolicyNotFound(detail, hint=f"give {FORMS}") from exc
    if not callable(found):
        raise PolicyNotFound(f"{reference} is not callable", hint=f"give {FORMS}")
    factory: PlayerFactory = found
    return factory
