"""A detector that labels pictures: all things of the given names, by any zero-shot detection model of transformers.

OWL-ViT and OWLv2 look at each name by itself, so that all names share one look at the picture. In Grounding DINO names
read beside one another change each other's scores; there each name is a look of its own.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from functools import cached_property
from typing import Any

import torch

from lynx_cl.banks.external import WORDS, detector_folder, load_detector, most_words
from lynx_cl.base.fingerprint import fingerprint_folder
from lynx_cl.data.example import Box
from lynx_cl.data.scouted.findings import Maker, Seen, Shown, Thing, rounded

APART = frozenset({"owlvit", "owlv2"})  # models whose names do not see one another
MOST = 100  # boxes of one name in a picture, the surest
PIXELS, SCORES = 1, 4  # digits kept of a box, in pixels, and of a score: below what a batch's company changes
Look = tuple[int, tuple[str, ...]]  # the place of a picture, and the names looked for at once


class DetectorLabeller:
    """Boxes of at least `score` for the names, which stand in order of the alphabet. Raises UsageError where `place` is
    no detector."""

    def __init__(self, place: str, names: Sequence[str], score: float, device: torch.device | None = None) -> None:
        self.folder = detector_folder(place)
        self.names, self.score = sorted(names), score
        self.device = device or torch.device("cuda" if torch.cuda.is_available() else "cpu")
        settings = {"score": score, "names": self.names}
        self.maker = Maker(self.folder.name, "detector", fingerprint_folder(self.folder, WORDS), settings)

    def size(self, name: str) -> None:
        """It looks for itself."""
        return None

    def label(self, pictures: Sequence[Shown], names: Sequence[Sequence[str]] | None) -> list[Seen]:
        """Pictures of equal size share a forward, so that none is padded to another's shape."""
        asked = names if names is not None else [self.names] * len(pictures)
        groups: dict[tuple[tuple[int, int], int], list[Look]] = defaultdict(list)
        for place, (shown, own) in enumerate(zip(pictures, asked, strict=True)):
            looks = [tuple(own)] if self._apart and own else [(name,) for name in own]
            for look in looks:
                groups[shown.picture.size, len(look)].append((place, look))
        found: list[list[Thing]] = [[] for _ in pictures]
        for looks_together in groups.values():
            for start in range(0, len(looks_together), len(pictures)):
                batch = looks_together[start : start + len(pictures)]
                for (place, _), things in zip(batch, self._look(pictures, batch), strict=True):
                    found[place] += things
        return [Seen(tuple(things)) for things in found]

    def _look(self, pictures: Sequence[Shown], batch: Sequence[Look]) -> list[list[Thing]]:
        model, processor = self._detector
        images = [pictures[place].picture for place, _ in batch]
        texts = [list(names) for _, names in batch]
        kept: dict[str, Any] = {"truncation": True, "max_length": most_words(model)}
        if not self._apart:  # OWL pads every name to the same length by itself
            kept["padding"] = True
        inputs = processor(images=images, text=texts, return_tensors="pt", **kept).to(self.device)
        inputs = {name: t.to(model.dtype) if t.is_floating_point() else t for name, t in inputs.items()}
        with torch.inference_mode():
            output = model(**inputs)
            if "input_ids" not in output:
                output["input_ids"] = inputs["input_ids"]
        found: list[list[Thing]] = [[] for _ in batch]
        sizes = [image.size for image in images]
        for place in range(len(texts[0])):
            own = output
            if self._apart:  # read together, a box would go to the name that fits it best, and to no other
                own = type(output)(logits=output.logits[..., place, None], pred_boxes=output.pred_boxes)
            told = processor.post_process_grounded_object_detection(
                own,
                threshold=0.0,
                target_sizes=[size[::-1] for size in sizes],
                text_labels=[[names[place]] for names in texts],
            )
            for things, one, names, size in zip(found, told, texts, sizes, strict=True):
                things += self._things(one, names[place], size)
        return found

    def _things(self, told: Any, name: str, size: tuple[int, int]) -> list[Thing]:
        scores = [round(value, SCORES) for value in told["scores"].float().tolist()]
        made: list[Thing] = []
        for score, pixels in sorted(zip(scores, told["boxes"].float().tolist(), strict=True), key=lambda one: -one[0]):
            box = self._box(pixels, size)
            if score >= self.score and score > 0 and box is not None and len(made) < MOST:
                made.append(Thing(name, box, score, name))
        return made

    def _box(self, pixels: Sequence[float], size: tuple[int, int]) -> Box | None:
        box = rounded([round(value, PIXELS) / side for value, side in zip(pixels, size * 2, strict=True)])
        return box if box[0] < box[2] and box[1] < box[3] else None

    @property
    def _apart(self) -> bool:
        return self._detector[0].config.model_type in APART

    @cached_property
    def _detector(self) -> tuple[Any, Any]:
        return load_detector(self.folder, self.device)
