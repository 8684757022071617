"""A buffer of earlier tasks' pictures, of one size however many tasks there are, and batches drawn from it."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

from lynx_cl.continual.course import Course, Lesson
from lynx_cl.data.example import Example
from lynx_cl.training.batches import make_batch


class Buffer:
    """The pictures that are kept of the first `stages` tasks of a course: `size` in all, as many of each.

    Which they are follows from the course's seed, so that nothing but `stages` need be remembered.
    """

    def __init__(self, course: Course, stages: int, size: int) -> None:
        self.course = course
        self.kept: list[list[int]] = []
        for stage in range(1, stages + 1):
            count = len(self._lesson(stage).train)
            order = random.Random(f"buffer/{course.seed}/{stage}").sample(range(count), count)
            self.kept.append(order[: max(1, size // stages)])

    def draw(self, step: int, count: int) -> tuple[int, list[int]]:
        """For a training step, a stage and at most `count` of its pictures by their places in `kept`.

        A batch is of one task: two tasks may ask about one picture, and what is kept of each goes by picture.
        """
        rng = random.Random(f"draw/{self.course.seed}/{step}")
        stage = rng.randrange(len(self.kept)) + 1
        held = len(self.kept[stage - 1])
        return stage, rng.sample(range(held), min(count, held))

    def batch(self, stage: int, places: Sequence[int]) -> Any:
        """The kept pictures at these places and all that is asked about them, as one batch."""
        return make_batch(self.course.base, [self.group(stage, place) for place in places])

    def group(self, stage: int, place: int) -> Sequence[Example]:
        """What is asked about one kept picture."""
        return self._lesson(stage).train[self.kept[stage - 1][place]]

    def _lesson(self, stage: int) -> Lesson:
        return self.course.lessons[stage - 1]
