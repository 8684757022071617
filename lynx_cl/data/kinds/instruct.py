"""Instruct: a free question, as the data says it, and a free answer in words. Examples: `data/instruct.py`."""

from __future__ import annotations

from lynx_cl.data.kinds import TaskKind, register

METRICS = (
    "accuracy",
    "strict_accuracy",
    "caseless_accuracy",
    "contains",
    "contains_truth",
    "relaxed_accuracy",
    "vqa_accuracy",
    "choice_accuracy",
    "acc_iou50",
    "anls",
    "bleu4",
    "cider",
)

KIND = register(TaskKind("instruct", metrics=METRICS, tokens=128, own_words=True))
