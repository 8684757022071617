"""The external bank: a frozen detector answers the task itself, and nothing but the router learns.

Any zero-shot object detection model of transformers: GroundingDINO (Liu et al. 2024, arXiv 2303.05499), OWLv2 (Minderer
et al. 2023, arXiv 2306.09683) and their like. Its answers are written in the task's box grammar, so that they are read
and scored as those of any other bank. It acts nowhere in the base: rows that it owns never reach the base's forward.
What the registry keeps is the detector's name and digest; the weights stay where they are.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from safetensors import SafetensorError
from torch import Tensor, nn

from lynx_cl.banks.base import Bank, bank_kind
from lynx_cl.banks.growth import active_parameters, total_parameters
from lynx_cl.base.fingerprint import fingerprint_folder
from lynx_cl.base.places import detector_place
from lynx_cl.base.settings import Settings
from lynx_cl.base.spread import device_of
from lynx_cl.base.taps import Tap
from lynx_cl.data.grammar import get_grammar
from lynx_cl.errors import LynxError, UsageError

if TYPE_CHECKING:
    from PIL import Image

WORDS = ("*.json", "*.txt", "*.model")  # beside the weights: how pictures and words are prepared for them
_ARTICLES = ("the", "a", "an")


class ExternalConfig(Settings):
    """`model` is a detector's folder, the name of one that ships, or a hub name; in a manifest its name alone, which
    `digest` goes with.

    `grammar` and `phrasings` are the task's: how its boxes are written, and the ways to ask, `{x}` being the thing.
    """

    model: str
    digest: str = ""
    grammar: str = "keyed"
    phrasings: tuple[str, ...] = ()


@bank_kind("external", ExternalConfig)
class ExternalBank(Bank):
    """A detector beside the base; see the top of this file. `places` are where it may lie, in order."""

    growth_key: ClassVar[str] = "detector"

    def __init__(self, config: ExternalConfig, places: Sequence[str | Path], device: torch.device) -> None:
        nn.Module.__init__(self)  # without taps, which every other kind has
        self.taps, self.sites, self.parts = (), (), nn.ModuleDict()
        self.config: ExternalConfig = config
        self.places = tuple(places)
        self.device = device

    @classmethod
    def build(cls, taps: Sequence[Tap], model: nn.Module, config: Any, generator: torch.Generator) -> ExternalBank:
        """The bank of a detector, which is read now only where its digest is not yet known.

        Raises UsageError where there is none.
        """
        device = device_of(model)
        if config.digest:
            return cls(config, (config.model,), device)
        folder = detector_folder(config.model)
        name = config.model if detector_place(config.model) is None else folder.name
        digest = fingerprint_folder(folder, WORDS)
        return cls(config.model_copy(update={"model": name, "digest": digest}), (folder,), device)

    def bank_config(self) -> dict[str, Any]:
        return self.config.model_dump(mode="json")

    def parameters_per_tap(self) -> dict[str, int]:
        """The detector's parameters: they have no tap, and count as grown all the same."""
        return {self.growth_key: total_parameters(self._detector[0])}

    def active_parameters_per_tap(self) -> dict[str, int]:
        return {self.growth_key: active_parameters(self._detector[0])}

    def state(self) -> dict[str, Tensor]:
        """The detector's digest, which is all that a registry keeps of it: 32 bytes, uint8."""
        return {self.growth_key: torch.tensor(list(bytes.fromhex(self.config.digest)), dtype=torch.uint8)}

    def load_state(self, tensors: Mapping[str, Tensor]) -> None:
        """Raises LynxError where the tensors are not of this detector."""
        own, given = self.state()[self.growth_key], tensors.get(self.growth_key)
        if given is None or len(tensors) != 1 or not torch.equal(own, given):
            raise LynxError(f"bank external: the file is not of the detector {self.config.model}; restore either")

    @cached_property
    def folder(self) -> Path:
        """Where the detector lies. Raises LynxError where none of the places holds it, byte for byte."""
        for place in self.places:
            try:
                folder = detector_folder(str(place))
            except LynxError:
                continue
            if fingerprint_folder(folder, WORDS) == self.config.digest:
                return folder
        raise LynxError(
            f"detector {self.config.model} ({self.config.digest[:12]}): not found, or changed, in "
            f"{' or '.join(str(place) for place in self.places)}; put the folder that the task was added with there"
        )

    def answer(self, text: str, picture: Image.Image | None) -> str:
        """The box of what a request asks for, in the task's grammar; empty without a picture, and where no box of the
        detector has an area within it. Each request is looked at by itself, so company changes nothing."""
        if picture is None:
            return ""
        scores, boxes = self.detect(self.thing(text), picture)
        width, height = picture.size
        for index in scores.argsort(descending=True, stable=True).tolist():
            x0, y0, x1, y1 = (
                min(max(value / side, 0.0), 1.0)
                for value, side in zip(boxes[index].tolist(), (width, height) * 2, strict=True)
            )
            if x0 < x1 and y0 < y1:
                return get_grammar(self.config.grammar).write((x0, y0, x1, y1))
        return ""

    def detect(self, thing: str, picture: Image.Image) -> tuple[Tensor, Tensor]:
        """Scores, (boxes,), and boxes, (boxes, 4): (x0, y0, x1, y1) in pixels of the picture; float32."""
        model, processor = self._detector
        kept: dict[str, Any] = {"truncation": True, "max_length": most_words(model)}
        inputs = processor(images=picture, text=[[thing]], return_tensors="pt", **kept).to(self.device)
        inputs = {name: t.to(model.dtype) if t.is_floating_point() else t for name, t in inputs.items()}
        with torch.inference_mode():
            output = model(**inputs)
            if "input_ids" not in output:
                output["input_ids"] = inputs["input_ids"]
            (found,) = processor.post_process_grounded_object_detection(
                output, threshold=0.0, target_sizes=[picture.size[::-1]], text_labels=[[thing]]
            )
        return found["scores"].float().cpu(), found["boxes"].float().cpu()

    def thing(self, text: str) -> str:
        """What a request asks for: in a known phrasing what stands for {x}, else the request less the words at its ends
        that phrasings are made of; without an article."""
        text = text.strip()
        for pattern in self._patterns:
            match = pattern.fullmatch(text)
            if match is not None:
                return _bare(match[1]) or text
        words = text.rstrip(".?!").split()
        while len(words) > 1 and words[0].lower() in self._words_of_phrasings:
            words.pop(0)
        while len(words) > 1 and words[-1].lower() in self._words_of_phrasings:
            words.pop()
        return " ".join(words) or text

    @cached_property
    def _patterns(self) -> list[re.Pattern[str]]:
        forms = sorted((p for p in self.config.phrasings if "{x}" in p), key=len, reverse=True)
        return [re.compile("(.+)".join(map(re.escape, form.split("{x}"))), re.IGNORECASE) for form in forms]

    @cached_property
    def _words_of_phrasings(self) -> set[str]:
        words = " ".join(self.config.phrasings).replace("{x}", " ").lower().split()
        return {word.strip(".,?!:") for word in (*words, *_ARTICLES)}

    @cached_property
    def _detector(self) -> tuple[Any, Any]:
        return load_detector(self.folder, self.device)


def detector_folder(name: str) -> Path:
    """The folder of a detector, by path, shipped name or hub name. Raises UsageError where none has weights in it."""
    local = detector_place(name)
    folder = local.resolve() if local is not None else _downloaded(name)
    if not (folder / "config.json").is_file() or not any(folder.glob("model*.safetensors")):
        raise UsageError(f"detector {name}: no config.json with model*.safetensors; save it with save_pretrained")
    return folder


def _downloaded(name: str) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(name, allow_patterns=[*WORDS, "model*.safetensors"]))
    except (OSError, HFValidationError, HfHubHTTPError, LocalEntryNotFoundError) as error:
        raise UsageError(f"detector {name}: no such folder, and a hub does not give it: {_line(error)}") from None


def answer_outside(banks: Mapping[str, Bank], owner: Any) -> ExternalBank | None:
    """The external bank that a row's owner, as `Attachment.rows` takes it, leaves the answer to.

    Boxes cannot be mixed with logits: of a mix it answers where its share is the largest, and is the base's else.
    """
    if isinstance(owner, Mapping):
        shares = {name: share for name, share in owner.items() if name in banks}
        first = max(sorted(shares), key=lambda name: shares[name], default=None)
        owner = first if first is not None and shares[first] >= 1 - sum(shares.values()) else None
    bank = banks.get(owner) if owner is not None else None
    return bank if isinstance(bank, ExternalBank) else None


def load_detector(folder: Path, device: torch.device) -> tuple[Any, Any]:
    """A zero-shot object detection model and its processor. Raises LynxError for a folder that holds none."""
    from transformers import AutoModelForZeroShotObjectDetection, AutoProcessor
    from transformers.utils import logging as transformers_logging

    transformers_logging.disable_progress_bar()
    try:
        model, found = AutoModelForZeroShotObjectDetection.from_pretrained(
            folder, dtype="auto", output_loading_info=True
        )
        processor = AutoProcessor.from_pretrained(folder)
    except (OSError, ValueError, ImportError, RuntimeError, KeyError, SafetensorError) as error:
        raise LynxError(f"detector {folder}: no zero-shot object detection model: {_line(error)}") from None
    if found["missing_keys"]:
        raise LynxError(
            f"detector {folder}: lacks {len(found['missing_keys'])} tensors of its model "
            f"({min(found['missing_keys'])} first); copy it again"
        )
    if not hasattr(processor, "post_process_grounded_object_detection"):
        raise LynxError(
            f"detector {folder}: {type(processor).__name__} finds no boxes for words; give another detector"
        )
    return model.requires_grad_(False).eval().to(device), processor


def most_words(model: Any) -> int:
    """The most tokens of a request that a detector reads."""
    config = model.config
    limits = (getattr(config, "max_text_len", None), getattr(config.text_config, "max_position_embeddings", None))
    return min(int(limit) for limit in limits if limit)


def _bare(thing: str) -> str:
    first, _, rest = thing.strip().partition(" ")
    return rest.strip() if first.lower() in _ARTICLES and rest.strip() else thing.strip()


def _line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
