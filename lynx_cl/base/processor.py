"""A base's processor: transformers' own, also where its video part or its fast images would need torchvision.

Lynx-CL reads no videos and never needs torchvision: without it, pictures are read by the Pillow image processor, and a
processor class that asks for a video part is built without one. How many image tokens stand for a picture is decided by
the processor class itself in either case.
"""

from __future__ import annotations

import importlib
import inspect
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lynx_cl.errors import LynxError

_NO_PICTURES = "a picture was given, but the base reads text alone; take a base that reads pictures"


class TextProcessor:
    """What a processor is to the rest, for a base that reads text alone."""

    image_token: str | None = None

    def __init__(self, tokenizer: Any) -> None:
        self.tokenizer = tokenizer
        self.chat_template = tokenizer.chat_template

    def __call__(self, text: Sequence[str], images: Any = None, **options: Any) -> Any:
        if images is not None:
            raise LynxError(_NO_PICTURES)
        return self.tokenizer(list(text), **options)

    def apply_chat_template(self, messages: Sequence[dict[str, Any]], **options: Any) -> str:
        """As a processor's; parts of text are joined, since templates of text models take plain strings.

        Raises LynxError for a question about a picture.
        """
        if any(part["type"] != "text" for m in messages for part in m["content"]):
            raise LynxError(_NO_PICTURES)
        plain = [{**m, "content": "".join(part["text"] for part in m["content"])} for m in messages]
        return str(self.tokenizer.apply_chat_template(plain, **options))

    def batch_decode(self, *args: Any, **options: Any) -> list[str]:
        return list(self.tokenizer.batch_decode(*args, **options))


class _NoVideos(dict):
    """In the place of a video processor: has no setting, and is written down as an empty one."""

    def __getattr__(self, name: str) -> None:
        if name.startswith("__"):
            raise AttributeError(name)
        return None


def load_processor(place: Path | str, model_type: str, reads_pictures: bool) -> Any:
    """The processor of a base. Raises what transformers raises for a folder that lacks one or holds a broken one."""
    from transformers import AutoProcessor, AutoTokenizer
    from transformers.utils import is_torchvision_available

    if not reads_pictures:
        return TextProcessor(_padding(AutoTokenizer.from_pretrained(place)))
    kind = None if is_torchvision_available() else _asks_for_torchvision(place, model_type)
    processor = AutoProcessor.from_pretrained(place) if kind is None else _without_videos(kind, place)
    if not hasattr(processor, "image_processor"):
        raise LynxError(f"its processor is a {type(processor).__name__} that reads no pictures; save the model's own")
    _padding(processor.tokenizer)
    return processor


def _padding(tokenizer: Any) -> Any:
    """The tokenizer with something to pad rows by: many language models name nothing. What pads is masked."""
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def continues_in_suffix(processor: Any) -> bool:
    """Whether a processor takes what follows a prompt apart from it, as PaliGemma's does: prompts see themselves whole.

    Its token_type_ids are then 0 in the prompt and 1 after it.
    """
    return "suffix" in inspect.signature(processor.__call__).parameters


def _asks_for_torchvision(place: Path | str, model_type: str) -> Any:
    """The processor's class where transformers would refuse to build it without torchvision, else None."""
    import transformers
    from transformers.models.auto.processing_auto import PROCESSOR_MAPPING_NAMES
    from transformers.processing_utils import ProcessorMixin

    known = dict(PROCESSOR_MAPPING_NAMES)
    named = ProcessorMixin.get_processor_dict(str(place))[0].get("processor_class") or known.get(model_type)
    for owner in (owner for owner, name in known.items() if name == named):
        kind: Any = getattr(_processing_module(owner), str(named), None)
        if isinstance(kind, type) and issubclass(kind, ProcessorMixin):
            own: Any = kind
            shown = getattr(transformers, own.__name__, None) is own
            return None if shown and "video_processor" not in own.get_attributes() else own
    return None


def _processing_module(family: str) -> Any:
    """The module of a family's processor, or None, past the package's front door, which hides what names torchvision.

    Where it takes a function from the image processor's torchvision form, it is given the Pillow form for that.
    """
    package = f"transformers.models.{family}"
    name, pillow = f"{package}.image_processing_{family}", f"{package}.image_processing_pil_{family}"
    for stand_in in (False, True):
        try:
            if not stand_in:
                return importlib.import_module(f"{package}.processing_{family}")
            sys.modules[name] = importlib.import_module(pillow)
            return importlib.import_module(f"{package}.processing_{family}")
        except ImportError:
            continue
        finally:
            if stand_in:
                sys.modules.pop(name, None)
    return None


def _without_videos(kind: Any, place: Path | str) -> Any:
    from transformers import AutoImageProcessor, AutoTokenizer

    def check(self: Any, name: str, part: Any) -> Any:
        return None if name == "video_processor" else kind.check_argument_for_proper_class(self, name, part)

    pictures: Any = type(kind.__name__, (kind,), {"check_argument_for_proper_class": check})
    parts: dict[str, Any] = {"image_processor": AutoImageProcessor, "tokenizer": AutoTokenizer}
    given = [parts[name].from_pretrained(place) if name in parts else _NoVideos() for name in kind.get_attributes()]
    settings, rest = kind.get_processor_dict(str(place))
    return pictures.from_args_and_dict(given, settings, **rest)
