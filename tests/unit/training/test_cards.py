from __future__ import annotations

import io

import pytest
from PIL import Image

from agentcore.training.openenv.environments.cards import (
    MARGIN,
    MOST_ROWS,
    ROW,
    WIDTH,
    Bar,
    Table,
    Verdict,
    card,
)
from agentcore.training.openenv.environments.catalog import BUNDLED
from agentcore.training.openenv.environments.policies import POLICIES

Box = tuple[int, int, int, int]


def picture(png: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(png))
    image.load()
    assert image.format == "PNG"
    return image.convert("RGB")


def inked(image: Image.Image, box: Box) -> bool:
    """Whether anything is drawn on the paper there."""
    return len(image.crop(box).getcolors(1 << 16) or []) > 1


@pytest.mark.parametrize("name", BUNDLED)
def test_every_environment_shows_itself_at_any_time(name: str) -> None:
    environment = BUNDLED[name]()
    before = environment.render()
    assert before is not None
    assert picture(before).width == WIDTH
    policy = POLICIES[name].naive(3)
    observation, done = environment.reset(3), False
    images = [environment.render()]
    while not done:
        step = environment.step(policy.act(observation))
        observation, done = step.observation, step.terminated or step.truncated
        if environment.step_count == 3:
            images.append(environment.render())
    images.append(environment.render())
    assert len(set(images)) == 3
    for image in images:
        assert image is not None
        drawn = picture(image)
        # Nothing runs over the edge of the paper.
        assert not inked(drawn, (WIDTH - MARGIN + 1, 90, WIDTH, drawn.height))
        assert not inked(drawn, (0, drawn.height - MARGIN // 2, WIDTH, drawn.height))


def test_looking_changes_nothing() -> None:
    for name, make in BUNDLED.items():
        watched, alone = make(), make()
        policies = [POLICIES[name].random(1) for _ in range(2)]
        observations = [watched.reset(1), alone.reset(1)]
        for _ in range(3):
            watched.render()
            steps = [
                environment.step(policy.act(observation))
                for environment, policy, observation in zip(
                    (watched, alone), policies, observations, strict=True
                )
            ]
            assert steps[0] == steps[1]
            observations = [step.observation for step in steps]


def test_long_lists_are_counted_and_empty_ones_say_so() -> None:
    rows = [[f"row {number}"] for number in range(MOST_ROWS + 5)]
    long = picture(card("T", {}, Table("Many", {"a": 1}, rows)))
    longer = picture(card("T", {}, Table("Many", {"a": 1}, rows * 9)))
    full = picture(card("T", {}, Table("Many", {"a": 1}, rows[:MOST_ROWS])))
    assert long.size == longer.size == (WIDTH, full.height + ROW)
    empty = picture(card("T", {}, Table("None", {"a": 1}, [])))
    assert inked(empty, (MARGIN, empty.height - MARGIN - ROW, WIDTH, empty.height - MARGIN))


def test_cells_keep_to_their_columns() -> None:
    columns = {"a": 1, "b": 1, "c": 2}
    wide = Table("T", columns, [["x" * 400, Bar(7.0, "99%"), Verdict("fine " * 90, good=True)]])
    none = Table("T", columns, [["", Bar(-1.0, ""), Verdict("", good=False)]])
    drawn, bare = picture(card("T", {}, wide)), picture(card("T", {}, none))
    top, bottom = drawn.height - MARGIN - ROW + 2, drawn.height - MARGIN
    quarter = (WIDTH - 2 * MARGIN) // 4
    for edge in (MARGIN + quarter, MARGIN + 2 * quarter, WIDTH - MARGIN):
        assert not inked(drawn, (edge - 8, top, edge - 2, bottom))
    assert not inked(bare, (MARGIN, top, MARGIN + quarter, bottom))
