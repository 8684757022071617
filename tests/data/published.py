"""Small folders in the published layouts of referring expressions, phrases, regions and questions, made for tests."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

from PIL import Image

SIZE = (40, 30)


def picture(path: Path, number: int = 0) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", SIZE, (number * 7 % 256, number % 251, 120)).save(path)


def coco_name(number: int, part: str = "train2014") -> str:
    return f"COCO_{part}_{number:012}.jpg"


def write_refcoco(folder: Path, splits: dict[int, str], who: str = "unc", suffix: str = "p") -> Path:
    """A folder as the refer API has it, beside `images/mscoco/images/train2014`: a picture by number for each entry of
    `splits`, with two annotations, the second of which two sentences refer to."""
    folder.mkdir(parents=True)
    images, things, refs = [], [], []
    for number, split in splits.items():
        picture(folder.parent / "images" / "mscoco" / "images" / "train2014" / coco_name(number), number)
        images.append({"id": number, "file_name": coco_name(number), "width": SIZE[0], "height": SIZE[1]})
        for place, box in enumerate(([0, 0, 8.0, 6.0], [10, 15, 20.0, 15.0])):
            one = {"id": 10 * number + place, "image_id": number, "category_id": place + 1, "bbox": box, "iscrowd": 0}
            things.append({**one, "segmentation": [[0.5] * 8], "area": 9.5})
        sentences = [f"man {number} in red", f"the man {number} on the right"]
        refs.append(
            {
                "ref_id": number,
                "ann_id": 10 * number + 1,
                "image_id": number,
                "category_id": 2,
                "split": split,
                "file_name": f"COCO_train2014_{number:012}_{10 * number + 1}.jpg",
                "sent_ids": [2 * number, 2 * number + 1],
                "sentences": [
                    {"sent_id": 2 * number + i, "sent": text, "raw": text.title(), "tokens": text.split()}
                    for i, text in enumerate(sentences)
                ],
            }
        )
    categories = [{"id": 1, "name": "dog", "supercategory": "animal"}, {"id": 2, "name": "person"}]
    whole = {"info": {}, "images": images, "annotations": things, "categories": categories, "licenses": []}
    (folder / "instances.json").write_text(json.dumps(whole))
    file = folder / f"refs({who}).{suffix}"
    file.write_bytes(pickle.dumps(refs, protocol=2) if suffix == "p" else json.dumps(refs).encode())
    return folder


def write_flickr30k(folder: Path, splits: dict[str, str]) -> Path:
    """A folder as Flickr30k Entities has it: a picture by key for each entry of `splits`, with three entities, one of
    them of two boxes and one of none."""
    for part in ("Annotations", "Sentences"):
        (folder / part).mkdir(parents=True)
    for name in ("train", "val", "test"):
        (folder / f"{name}.txt").write_text("".join(f"{key}\n" for key, part in splits.items() if part == name))
    for number, key in enumerate(splits):
        picture(folder / "flickr30k-images" / f"{key}.jpg", number)
        boxes = "".join(
            f"<object>{names}<bndbox><xmin>{a}</xmin><ymin>{b}</ymin><xmax>{c}</xmax><ymax>{d}</ymax></bndbox></object>"
            for names, (a, b, c, d) in (
                ("<name>1</name>", (1, 1, 10, 30)),
                ("<name>1</name>", (21, 1, 30, 15)),
                ("<name>2</name>", (11, 16, 40, 30)),
            )
        )
        (folder / "Annotations" / f"{key}.xml").write_text(
            f"<annotation><filename>{key}.jpg</filename><size><width>40</width><height>30</height><depth>3</depth>"
            f"</size>{boxes}<object><name>3</name><scene>1</scene><nobndbox>1</nobndbox></object></annotation>"
        )
        (folder / "Sentences" / f"{key}.txt").write_text(
            "[/EN#1/people Two men] ride [/EN#2/vehicles a red bus] in [/EN#3/scene the street] .\n"
            "[/EN#1/people Two men] wait near [/EN#2/vehicles/other the bus] .\n"
        )
    return folder


def write_visual_genome(folder: Path, numbers: range) -> Path:
    """A folder as Visual Genome has it, pictures in both of its folders; one region sticks out, one has no area."""
    told, sizes = [], []
    for number in numbers:
        picture(folder / ("VG_100K", "VG_100K_2")[number % 2] / f"{number}.jpg", number)
        boxes = {"a red hat": (4, 3, 8, 6), "sky above": (-2, -1, 44, 10), "nothing": (5, 5, 0, 3)}
        regions = [
            {"region_id": 10 * number + i, "image_id": number, "phrase": words, "x": x, "y": y, "width": w, "height": h}
            for i, (words, (x, y, w, h)) in enumerate(boxes.items())
        ]
        told.append({"id": number, "regions": regions})
        sizes.append({"image_id": number, "width": SIZE[0], "height": SIZE[1], "url": "x", "coco_id": None})
    (folder / "region_descriptions.json").write_text(json.dumps(told))
    (folder / "image_data.json").write_text(json.dumps(sizes))
    return folder


def people(*answers: str) -> list[dict[str, Any]]:
    """Ten people's answers, the last one given by all who are left."""
    given = [*answers, *[answers[-1]] * (10 - len(answers))]
    return [{"answer": text, "answer_confidence": "yes", "answer_id": i} for i, text in enumerate(given, 1)]


def write_vqav2(folder: Path, train: int = 30, val: int = 5) -> Path:
    """A folder as VQA v2 has it: a question about each picture; the annotations stand in another order."""
    folder.mkdir(parents=True, exist_ok=True)
    for part, count in (("train2014", train), ("val2014", val)):
        questions, answers = [], []
        for number in range(1, count + 1):
            picture(folder / part / coco_name(number, part), number)
            question = {"image_id": number, "question": f"How many, of {number}?", "question_id": 1000 * number}
            questions.append(question)
            answers.append(
                {
                    "question_id": 1000 * number,
                    "image_id": number,
                    "question_type": "how many",
                    "answer_type": "number",
                    "multiple_choice_answer": str(number),
                    "answers": people("none", str(number)),
                }
            )
        head = {"info": {}, "license": {"name": "CC BY 4.0"}, "data_type": "mscoco", "data_subtype": part}
        name = f"v2_OpenEnded_mscoco_{part}_questions.json"
        (folder / name).write_text(json.dumps({**head, "task_type": "Open-Ended", "questions": questions}))
        answers.reverse()
        (folder / f"v2_mscoco_{part}_annotations.json").write_text(json.dumps({**head, "annotations": answers}))
    return folder


def write_gqa(folder: Path, test: str = "testdev_balanced") -> Path:
    """A folder as GQA has it: maps of questions by number."""
    for part, count in (("train_balanced", 30), (test, 5)):
        told = {}
        for number in range(count):
            picture(folder / "images" / f"{part[:2]}{number}.jpg", number)
            told[f"{part[:2]}{number}00"] = {
                "imageId": f"{part[:2]}{number}",
                "question": f"Is thing {number} red?",
                "answer": "yes",
                "fullAnswer": "Yes, it is.",
                "isBalanced": True,
                "types": {"structural": "verify", "semantic": "attr", "detailed": "verifyAttr"},
            }
        (folder / f"{part}_questions.json").write_text(json.dumps(told))
    return folder


def write_textvqa(folder: Path) -> Path:
    """A folder as TextVQA 0.5.1 has it: the pictures of train and val lie together."""
    for part, count in (("train", 30), ("val", 5)):
        told = []
        for number in range(count):
            picture(folder / "train_images" / f"{part}-{number}.jpg", number)
            told.append(
                {
                    "question": f"what does sign {number} say?",
                    "image_id": f"{part}-{number}",
                    "image_classes": ["Sign"],
                    "question_id": number,
                    "answers": ["stop", "STOP sign", *["stop"] * 8],
                    "set_name": part,
                }
            )
        whole = {"dataset_type": part, "dataset_name": "textvqa", "dataset_version": "0.5.1", "data": told}
        (folder / f"TextVQA_0.5.1_{part}.json").write_text(json.dumps(whole))
    return folder


def write_vizwiz(folder: Path) -> Path:
    """A folder as VizWiz-VQA has it."""
    (folder / "Annotations").mkdir(parents=True)
    for part, count in (("train", 30), ("val", 5)):
        told = []
        for number in range(count):
            picture(folder / part / f"VizWiz_{part}_{number:08}.jpg", number)
            record = {"image": f"VizWiz_{part}_{number:08}.jpg", "question": "What is it?", "answers": people("a can")}
            told.append({**record, "answer_type": "other", "answerable": 1})
        (folder / "Annotations" / f"{part}.json").write_text(json.dumps(told))
    return folder


def write_pope(folder: Path, questions: int = 6) -> Path:
    """A folder as POPE's authors publish it: JSON lines in files of .json, one a split, and pictures."""
    for split in ("random", "popular", "adversarial"):
        lines = []
        for number in range(1, questions + 1):
            name = coco_name(number, "val2014")
            picture(folder / "val2014" / name, number)
            one = {"question_id": number, "image": name, "text": f"Is there a {split} dog in the image?"}
            lines.append(json.dumps({**one, "label": ("yes", "no")[number % 2]}))
        (folder / f"coco_pope_{split}.json").write_text("\n".join(lines) + "\n")
    return folder


def write_scienceqa(folder: Path) -> Path:
    """A folder as ScienceQA has it: eight questions of the test split, every other one with a picture, two of train."""
    subjects, problems = ("natural science", "social science", "language science"), {}
    for number in range(1, 11):
        split = "test" if number <= 8 else "train"
        problems[str(number)] = {
            "question": f"Which is number {number}?",
            "choices": ["a dog", "a cat", "a bird"][: 2 + number % 2],
            "answer": number % 2,
            "hint": "Look at the animals." if number % 3 == 0 else "",
            "image": "image.png" if number % 2 else None,
            "task": "closed choice",
            "grade": f"grade{number + 1}",
            "subject": subjects[number % 3],
            "topic": "biology",
            "category": "Animals",
            "skill": "Name animals",
            "lecture": "",
            "solution": "",
            "split": split,
        }
        if number % 2:
            picture(folder / "images" / split / str(number) / "image.png", number)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "problems.json").write_text(json.dumps(problems, indent=1))
    numbers = list(problems)
    (folder / "pid_splits.json").write_text(json.dumps({"test": numbers[:8], "train": numbers[8:], "val": []}))
    return folder
