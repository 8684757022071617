"""Small data folders in the layouts that people have, and a real chat processor, made for tests."""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import Any

from PIL import Image

Thing = tuple[str, int, int, int, int]


def write_voc(folder: Path, pictures: dict[str, list[Thing]], lists: dict[str, list[str]], size=(40, 30)) -> Path:
    """A VOC folder: things by picture as (name, xmin, ymin, xmax, ymax), 1-based and inclusive; lists by name."""
    for part in ("Annotations", "JPEGImages", "ImageSets/Main"):
        (folder / part).mkdir(parents=True)
    for number, (name, things) in enumerate(pictures.items()):
        Image.new("RGB", size, (number * 20 % 256, 80, 120)).save(folder / "JPEGImages" / f"{name}.jpg")
        objects = "".join(
            f"<object><name>{label}</name><bndbox><xmin>{x0}</xmin><ymin>{y0}</ymin><xmax>{x1}</xmax><ymax>{y1}</ymax>"
            "</bndbox></object>"
            for label, x0, y0, x1, y1 in things
        )
        (folder / "Annotations" / f"{name}.xml").write_text(
            f"<annotation><filename>{name}.jpg</filename><size><width>{size[0]}</width><height>{size[1]}</height>"
            f"<depth>3</depth></size>{objects}</annotation>"
        )
    for part, names in lists.items():
        (folder / "ImageSets" / "Main" / f"{part}.txt").write_text("\n".join(names) + "\n")
    return folder


def small_voc(folder: Path) -> Path:
    """Five pictures: two for training (one of them with two white cells), one for validation, two for the test."""
    one, two = [("WBC", 1, 1, 20, 15), ("RBC", 21, 16, 40, 30)], [("WBC", 1, 1, 9, 9), ("WBC", 20, 20, 30, 30)]
    pictures = {"a": one, "b": two, "c": one, "d": one, "e": [("WBC", 5, 5, 12, 12)]}
    return write_voc(folder, pictures, {"train": ["a", "b"], "val": ["c"], "test": ["d", "e"]})


def talk(image: str | None, *words: str, **more: Any) -> dict[str, Any]:
    """A LLaVA-style record: words of the human and the model in turns."""
    turns = [{"from": ("human", "gpt")[i % 2], "value": text} for i, text in enumerate(words)]
    turns[0]["value"] = f"<image>\n{words[0]}" if image else words[0]
    return {"id": "1", **({"image": image} if image else {}), "conversations": turns, **more}


def write_llava(folder: Path, records: int = 40, name: str = "train.jsonl") -> Path:
    """A file of one question about each picture, in `images/`; the answer is the picture's number."""
    (folder / "images").mkdir(parents=True, exist_ok=True)
    told = []
    for number in range(records):
        image = f"{name.partition('.')[0]}-{number:03}.png"
        Image.new("RGB", (12, 8), (number * 5 % 256, 90, number * 11 % 256)).save(folder / "images" / image)
        told.append(talk(image, f"Which number is it, of {records}?", f"number {number}"))
    file = folder / name
    lines = "\n".join(json.dumps(one) for one in told)
    file.write_text(lines + "\n" if name.endswith("jsonl") else json.dumps(told, indent=1), encoding="utf-8")
    return file


@functools.cache
def processor() -> Any:
    """nano's chat template and image processor, with merges learned from little text."""
    from transformers import LlavaProcessor
    from transformers.models.vit.image_processing_pil_vit import ViTImageProcessorPil

    from lynx_cl.base.nano.tokenizer import CHAT_TEMPLATE, ENGLISH, train

    text = " " + ENGLISH.replace("\n", " ") + " " + " ".join(str(number) for number in range(100))
    return LlavaProcessor(
        image_processor=ViTImageProcessorPil(size={"height": 96, "width": 96}, do_convert_rgb=True),
        tokenizer=train(iter([text] * 30)),
        patch_size=16,
        vision_feature_select_strategy="full",
        chat_template=CHAT_TEMPLATE,
        num_additional_image_tokens=0,
    )
