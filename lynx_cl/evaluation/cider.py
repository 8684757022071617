"""CIDEr-D: how far a caption says what people said, by words in rows of one to four, rare rows counting more.

Vedantam et al. 2015, section 7.2 for the D. The rarity of a row is taken from the references of the test set itself.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence

LONGEST = 4  # words in a row
SIGMA = 6.0  # words: by how much lengths may differ before it counts

Grams = Counter[tuple[str, ...]]


def words(text: str) -> list[str]:
    """The words of a caption in lower case, without punctuation.

    >>> words("A dog's toy, red.")
    ['a', "dog's", 'toy', 'red']
    """
    return re.findall(r"\w+(?:'\w+)*", text.lower())


def cider_d(answers: Sequence[str], references: Sequence[Sequence[str]]) -> list[float]:
    """CIDEr-D of each answer against its references, 0 to 10. With one answer alone every row of words has rarity 0.

    >>> [round(value, 2) for value in cider_d(["a red dog runs", "a cat"], [["a red dog runs"], ["a bus waits"]])]
    [10.0, 0.0]
    """
    given = [_grams(words(text)) for text in answers]
    true = [[_grams(words(text)) for text in own] for own in references]
    seen: Grams = Counter(gram for own in true for gram in set().union(*own))
    log_total = math.log(max(1, len(true)))

    def vector(grams: Grams) -> tuple[list[dict[tuple[str, ...], float]], list[float], int]:
        parts: list[dict[tuple[str, ...], float]] = [{} for _ in range(LONGEST)]
        for gram, count in grams.items():
            parts[len(gram) - 1][gram] = count * (log_total - math.log(max(1, seen[gram])))
        norms = [math.sqrt(sum(value**2 for value in part.values())) for part in parts]
        return parts, norms, sum(count for gram, count in grams.items() if len(gram) == 1)

    scores = []
    for grams, own in zip(given, true, strict=True):
        parts, norms, length = vector(grams)
        total = 0.0
        for reference in own:
            others, other_norms, other_length = vector(reference)
            penalty = math.exp(-((length - other_length) ** 2) / (2 * SIGMA**2))
            for part, norm, other, other_norm in zip(parts, norms, others, other_norms, strict=True):
                if norm and other_norm:
                    shared = sum(
                        min(value, other.get(gram, 0.0)) * other.get(gram, 0.0) for gram, value in part.items()
                    )
                    total += penalty * shared / (norm * other_norm)
        scores.append(10 * total / (LONGEST * len(own)))
    return scores


def _grams(text: Sequence[str]) -> Grams:
    return Counter(tuple(text[i : i + n]) for n in range(1, LONGEST + 1) for i in range(len(text) - n + 1))
