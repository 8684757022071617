"""joint: all tasks are learned at once, in as many steps as the others take for all of them: the bound in quality."""

from __future__ import annotations

from itertools import accumulate

from pydantic import Field

from lynx_cl.continual.method import Learning, method
from lynx_cl.continual.one_model import FineTuning, OneModel, learning
from lynx_cl.data.example import Lazy
from lynx_cl.training.trainer import train_part


class JointSettings(FineTuning):
    """All is learned at once, and nothing before it but what the base knew."""

    learning_rate: float = Field(1e-3, gt=0)


@method(JointSettings)
class Joint(OneModel):
    """Full fine-tuning on the pictures of every task, shuffled together."""

    at_once = True

    def learn(self, stage: int) -> Learning:
        course = self.course
        steps = course.budget.steps * len(course.lessons)
        ends = list(accumulate(len(lesson.train) for lesson in course.lessons))

        def group(index: int):
            owner = next(i for i, end in enumerate(ends) if index < end)
            return course.lessons[owner].train[index - (ends[owner - 1] if owner else 0)]

        checked = [batch for one in course.lessons for batch in course.validation(one.source.groups("calibration"))]
        result = train_part(
            course.base,
            self.part,
            course.batches(Lazy(ends[-1], group)),
            checked,
            course.training(self.config.learning_rate, steps),
            course.run_dir(stage),
            resume=True,
            on_log=course.progress("all tasks", steps),
        )
        return learning(result)
