"""Many questions about one picture in one row: the picture's tokens are paid for once.

Each turn sees the prefix (the picture) and itself, never the other turns, and its positions start where the prefix
ends: for the model, every turn is a conversation of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

IGNORE = -100


def pack_rows(
    prefixes: Sequence[Sequence[int]],
    turns: Sequence[Sequence[Sequence[tuple[Sequence[int], Sequence[int]]]]],
    pad_id: int,
) -> dict[str, torch.Tensor]:
    """Rows of packed conversations.

    `prefixes[r]` are the tokens that every conversation of row r sees. `turns[r]` is the row's list of conversations, a
    conversation is a list of (question tokens, answer tokens). Returns, with B rows of T tokens, padded on the right:

    - input_ids (B, T), position_ids (B, T)
    - labels (B, T): the answers' tokens, IGNORE elsewhere
    - step_ids (B, T): the turn's number within its conversation at answer tokens, -1 elsewhere
    - conversation_ids (B, T): the conversation's number within its row, -1 on the prefix and on padding
    - attention_mask (B, 1, T, T) bool: True where the query (third axis) may see the key (fourth)
    """
    rows: list[tuple[Any, ...]] = []
    for prefix, conversations in zip(prefixes, turns, strict=True):
        ids, labels, positions = list(prefix), [IGNORE] * len(prefix), list(range(len(prefix)))
        steps, owner = [-1] * len(prefix), [-1] * len(prefix)
        for number, conversation in enumerate(conversations):
            position = len(prefix)
            for step, (question, answer) in enumerate(conversation):
                length = len(question) + len(answer)
                ids += [*question, *answer]
                labels += [IGNORE] * len(question) + list(answer)
                steps += [-1] * len(question) + [step] * len(answer)
                owner += [number] * length
                positions += range(position, position + length)
                position += length
        rows.append((ids, labels, positions, steps, owner, len(prefix)))
    width = max(len(row[0]) for row in rows)
    fill = (pad_id, IGNORE, 0, -1, -1)
    columns = [torch.tensor([list(row[i]) + [fill[i]] * (width - len(row[i])) for row in rows]) for i in range(5)]
    all_ids, all_labels, all_positions, all_steps, all_owners = columns
    place = torch.arange(width)
    prefix_length = torch.tensor([row[5] for row in rows])
    in_prefix = place[None, :] < prefix_length[:, None]
    real = torch.tensor([[i < len(row[0]) for i in range(width)] for row in rows])
    visible = in_prefix[:, None, :] | (all_owners[:, :, None] == all_owners[:, None, :])
    mask = visible & (place[None, :, None] >= place[None, None, :]) & real[:, None, :]
    mask |= torch.eye(width, dtype=torch.bool)  # a padded query sees itself, so that no row of the softmax is empty
    return {
        "input_ids": all_ids,
        "labels": all_labels,
        "position_ids": all_positions,
        "step_ids": all_steps,
        "conversation_ids": all_owners,
        "attention_mask": mask[:, None],
    }
