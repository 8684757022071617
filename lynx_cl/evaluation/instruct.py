"""Scores of free answers in words. Which of them counts is said by the card; each is a share, in [0, 1], but cider."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

import torch
from torchmetrics.functional.text import edit_distance
from torchmetrics.text import BLEUScore

from lynx_cl.data.example import Box, Example
from lynx_cl.data.grammar import BoxGrammar
from lynx_cl.evaluation.cider import cider_d, words
from lynx_cl.evaluation.grounding import THRESHOLD, box_iou
from lynx_cl.evaluation.text import exact_match
from lynx_cl.evaluation.vqa import vqa_accuracy

TOLERANCE = 0.05  # of a number, as ChartQA has it (Masry et al. 2022)
_NUMBER = re.compile(r"[-+]?(?:\d+(?:\.\d*)?|\.\d+)")


def score(examples: Sequence[Example], answers: Sequence[str], grammar: BoxGrammar) -> dict[str, float]:
    """All metrics of the kind `instruct`; the truth is an example's last answer, and its references where it has some.

    - `accuracy`: the same as an accepted answer, but for letter case, outer punctuation and a leading article;
      `strict_accuracy`: letter by letter; `caseless_accuracy`: but for letter case alone.
    - `contains`: the truth stands in the answer or the answer in the truth, as CoIN scores ImageNet; `contains_truth`:
      the truth stands in the answer, but for letter case, as OCRBench and MLLM-CL score.
    - `relaxed_accuracy`: numbers within 5 %, other answers the same but for letter case (ChartQA).
    - `vqa_accuracy`: of the VQA challenge. `choice_accuracy`: of the letter of the option, as ScienceQA is scored.
    - `acc_iou50`: of the first four numbers, taken as a box (x0, y0, x1, y1), with an IoU of 0.5.
    - `anls`: 1 less the edit distance in shares of the longer text, 0 from a half on (Biten et al. 2019, DocVQA).
    - `bleu4` over all answers, `cider` as the mean of CIDEr-D (0 to 10).

    Raises ValueError where there is nothing to score, or not one answer for each example.
    """
    if not examples or len(answers) != len(examples):
        raise ValueError(f"{len(answers)} answers against {len(examples)} examples")
    accepted = [example.references or (example.steps[-1].answer,) for example in examples]
    truths = [example.steps[-1].answer for example in examples]
    pairs = list(zip(answers, accepted, strict=True))
    bleu = BLEUScore(n_gram=4)
    bleu.update([plain(text) for text in answers], [[plain(text) for text in own] for own in accepted])
    return {
        "accuracy": _mean(any(exact_match(text, truth) for truth in own) for text, own in pairs),
        "strict_accuracy": _mean(text.strip() in own for text, own in pairs),
        "caseless_accuracy": _mean(any(_caseless(text) == _caseless(t) for t in own) for text, own in pairs),
        "contains_truth": _mean(any(_caseless(t) in _caseless(text) for t in own) for text, own in pairs),
        "contains": _mean(any(contains(text, truth) for truth in own) for text, own in pairs),
        "relaxed_accuracy": _mean(any(relaxed_match(text, truth) for truth in own) for text, own in pairs),
        "vqa_accuracy": _mean(vqa_accuracy(text, own) for text, own in pairs),
        "choice_accuracy": _mean(choice(text) == choice(t) != "" for text, t in zip(answers, truths, strict=True)),
        "acc_iou50": _mean(same_box(text, truth) for text, truth in zip(answers, truths, strict=True)),
        "anls": _mean(max(similarity(text, truth) for truth in own) for text, own in pairs),
        "bleu4": float(bleu.compute()),
        "cider": _mean(cider_d(answers, accepted)),
    }


def plain(text: str) -> str:
    """A caption's words alone, as bleu4 compares them."""
    return " ".join(words(text))


def contains(answer: str, truth: str) -> bool:
    """Whether one holds the other, letter case included; an empty answer holds nothing.

    >>> contains("a golden retriever", "golden retriever"), contains("retriever", "golden retriever"), contains("", "x")
    (True, True, False)
    """
    text = answer.strip()
    return bool(text) and (truth in text or text in truth)


def relaxed_match(answer: str, truth: str) -> bool:
    """Whether two numbers differ by TOLERANCE of the true one at most; other answers are the same but for letter case.

    >>> relaxed_match("10.4", "10"), relaxed_match("$1,040", "1000"), relaxed_match("11", "10")
    (True, True, False)
    """
    given, true = _number(answer), _number(truth)
    if given is None or true is None:
        return answer.strip().lower() == truth.strip().lower()
    return abs(given - true) <= TOLERANCE * abs(true)


def choice(answer: str) -> str:
    """The letter of the option that an answer names, empty where it names none, by the rule of ScienceQA's scripts: the
    letter before a full stop at its beginning, else its first word of one letter.

    >>> choice("B"), choice("b."), choice("B. a dog"), choice("The answer is C."), choice("Because of it")
    ('B', 'B', 'B', 'C', '')
    """
    text = answer.strip()
    found = re.match(r"([A-Z])\. ", text) or re.search(r"\b(\w)\b", text)
    return found[1].upper() if found else ""


def similarity(answer: str, truth: str) -> float:
    """Normalised Levenshtein similarity of two texts but for letter case, 0 where it is less than a half.

    >>> similarity("Stop", "stop"), similarity("step", "stop"), similarity("go", "stop")
    (1.0, 0.75, 0.0)
    """
    given, true = _caseless(answer), _caseless(truth)
    longer = max(len(given), len(true))
    if not longer:
        return 1.0
    value = 1 - float(edit_distance(given, true, reduction="none")) / longer
    return value if value >= 0.5 else 0.0


def same_box(answer: str, truth: str) -> bool:
    """Whether the boxes that two texts begin with overlap by THRESHOLD; a text with fewer than four numbers has none.

    >>> same_box("[0.0, 0.0, 0.5, 0.5]", "[0.0,0.0,0.5,0.6]"), same_box("none", "[0.0,0.0,0.5,0.6]")
    (True, False)
    """
    given, true = _box(answer), _box(truth)
    if given is None or true is None:
        return False
    first, second = (torch.tensor([box], dtype=torch.float64) for box in (given, true))
    return bool(box_iou(first, second).item() >= THRESHOLD)


def _box(text: str) -> Box | None:
    numbers = [float(number) for number in _NUMBER.findall(text)[:4]]
    return (numbers[0], numbers[1], numbers[2], numbers[3]) if len(numbers) == 4 else None


def _number(text: str) -> float | None:
    bare = text.strip().strip("$€£").replace(",", "")
    percent = bare.endswith("%")
    bare = bare.removesuffix("%").strip()
    if not _NUMBER.fullmatch(bare):
        return None
    return float(bare) / (100 if percent else 1)


def _caseless(text: str) -> str:
    return text.strip().lower()


def _mean(values: Iterable[float]) -> float:
    numbers = [float(value) for value in values]
    return sum(numbers) / len(numbers)
