"""A quick embedder for the tests: a sum of fixed random directions, one a word."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from lynx_cl.router.embedders import Request, Rows, unit


@dataclass(frozen=True)
class WordEmbedder:
    dimension: int = 16
    name: str = "words"
    digest: str = "d" * 64
    near: float = 0.5
    pictures: bool = False

    def embed(self, requests: Sequence[Request]) -> Rows:
        rows = [sum(self._word(word) for word in request.text.lower().split()) for request in requests]
        return unit(np.stack(rows).astype(np.float32), self.name)

    def _word(self, word: str) -> np.ndarray:
        return np.random.default_rng(zlib.crc32(word.encode())).normal(size=self.dimension)


PROMPTS = {
    "base": ["describe this picture", "is there a dog here", "how many things here", "what colour is the ground"],
    "cells": ["mark the leukocyte", "mark one white cell", "show the white cell", "show the leukocyte on it"],
    "grounding": ["box the dog", "box the red car", "locate the cat", "locate the car please", "box a bird"],
}
