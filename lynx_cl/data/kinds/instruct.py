"""Instruct: a free question, as the data says it, and a free answer in words. Examples: `data/instruct.py`."""

from __future__ import annotations

from lynx_cl.data.kinds import TaskKind, register

METRICS = (
    "accuracy",
    "strict_accuracy",
    "contains",
    "relaxed_accuracy",
    "vqa_accuracy",
    "choice_accuracy",
    "acc_iou50",
    "bleu4",
    "cider",
)

KIND = register(TaskKind("instruct", metrics=METRICS, tokens=128, own_words=True))
