"""Built data sets: the examples of a source as JSON lines with a manifest, to read, to share, or to train from.

A built set of drawn scenes holds no pictures, since a scene's number draws it again; `images=True` writes them.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import asdict, astuple
from pathlib import Path
from typing import Any

from lynx_cl.data.example import SPLITS, Example, ImageRef, Lazy, Provenance, Step, Target
from lynx_cl.data.sources import DataSource, Groups, Wanted
from lynx_cl.data.world import SceneImage
from lynx_cl.errors import LynxError

MANIFEST = "manifest.json"
FORMAT = 1


def build(source: DataSource, parent: Path, *, images: bool = False) -> Path:
    """Writes a source's examples below `parent`, in a folder named by their digest, whole or not at all.

    Returns the folder; one that is there already is left as it is.
    """
    folder = parent / source.digest()[:16]
    if (folder / MANIFEST).exists() and (not images or (folder / "images").is_dir()):
        return folder
    parent.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(dir=parent, prefix=".building-"))
    try:
        digests, counts = {}, {}
        for split in SPLITS:
            path = scratch / f"{split}.jsonl"
            counts[split] = _write_split(source.groups(split), path, scratch / "images" if images else None)
            digests[path.name] = hashlib.sha256(path.read_bytes()).hexdigest()
        manifest = {
            "format": FORMAT,
            **source.summary(),
            "digest": source.digest(),
            "examples": counts,
            "files": digests,
        }
        (scratch / MANIFEST).write_text(json.dumps(manifest, indent=1) + "\n", encoding="utf-8")
        if folder.exists():
            shutil.rmtree(folder)
        os.replace(scratch, folder)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return folder


def read_manifest(folder: Path) -> dict[str, Any]:
    """The manifest of a built set. Raises LynxError for a folder without one, or of another version."""
    path = folder / MANIFEST
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise LynxError(f"{folder}: no {MANIFEST}; give a folder that 'lynx-cl data build' wrote") from None
    except ValueError:
        raise LynxError(f"{path}: not JSON; build the data anew") from None
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT or "files" not in manifest:
        raise LynxError(f"{path}: of another version of lynx-cl; build the data anew")
    return manifest


def _write_split(groups: Groups, path: Path, images: Path | None) -> int:
    count = 0
    with path.open("w", encoding="utf-8") as lines:
        for group in groups:
            if not group:
                continue
            if images is not None and group[0].image is not None:
                images.mkdir(exist_ok=True)
                group[0].open().save(images / _file(group[0]))
            records = [_record(example, images is not None) for example in group]
            lines.write(json.dumps(records, ensure_ascii=False) + "\n")
            count += len(records)
    return count


def _file(example: Example) -> str:
    return example.image_key.replace("/", "-") + ".png"


def _record(example: Example, drawn: bool) -> dict[str, Any]:
    if example.image is None:
        image: Any = None
    elif drawn:
        image = {"file": f"images/{_file(example)}"}
    elif isinstance(example.image, Path):
        image = {"file": str(example.image.absolute())}
    elif isinstance(example.image, SceneImage):
        image = {"scene": [value for value in astuple(example.image) if value is not False]}
    else:
        raise LynxError(f"data build: picture '{example.image_key}' is made on the fly; build with --with-pictures")
    return {
        "image": image,
        "image_key": example.image_key,
        "size": example.size,
        "task": example.task,
        "kind": example.kind,
        "phrasing": example.phrasing,
        "steps": [asdict(step) for step in example.steps],
        "targets": [asdict(target) for target in example.targets],
        "provenance": asdict(example.provenance),
        **({"references": example.references} if example.references else {}),
    }


def built_source(folder: Path, wanted: Wanted) -> DataSource:
    """A built set, its lines checked against the manifest's digests.

    Raises LynxError for a folder without a manifest, of another task, or whose lines have changed.
    """
    manifest = read_manifest(folder)
    if manifest["task"] != wanted.card.name:
        raise LynxError(f"{folder}: built for task '{manifest['task']}', not '{wanted.card.name}'")
    splits: dict[str, Groups] = {}
    for split in SPLITS:
        path = folder / f"{split}.jsonl"
        data = path.read_bytes() if path.exists() else b""
        if hashlib.sha256(data).hexdigest() != manifest["files"].get(path.name):
            raise LynxError(f"{path}: missing, or changed since it was built; build the data anew")
        lines = data.decode("utf-8").splitlines()
        chosen = lines if wanted.limit is None else lines[: wanted.limit]
        splits[split] = Lazy(len(chosen), _reader(chosen, folder, split))

    def recipe() -> Mapping[str, Any]:
        return {"format": FORMAT, "files": manifest["files"], "limit": wanted.limit}

    return DataSource(
        f"built:{folder}",
        wanted.card.name,
        manifest["annotator"],
        manifest["licence"],
        manifest["grammar"],
        splits,
        recipe,
        test_annotator=manifest.get("test_annotator", ""),
        confirmed_by=tuple(manifest.get("confirmed_by", ())),
    )


def _reader(lines: list[str], folder: Path, split: str) -> Callable[[int], tuple[Example, ...]]:
    return lambda index: tuple(_example(record, folder, split) for record in json.loads(lines[index]))


def _example(record: dict[str, Any], folder: Path, split: str) -> Example:
    place = record["image"]
    image: ImageRef | None = None
    if place is not None:
        image = SceneImage(*place["scene"]) if "scene" in place else folder / place["file"]
    return Example(
        image=image,
        steps=tuple(Step(**step) for step in record["steps"]),
        targets=tuple(Target(t["label"], tuple(t["box"])) for t in record["targets"]),
        task=record["task"],
        split=split,
        image_key=record["image_key"],
        provenance=Provenance(**record["provenance"]),
        kind=record["kind"],
        size=tuple(record["size"]),
        phrasing=record.get("phrasing", ""),
        references=tuple(record.get("references", ())),
    )
