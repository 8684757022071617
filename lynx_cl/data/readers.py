"""The kinds of data source, by name: what each reads, what its name goes on with, and its options.

A new kind is an entry of READERS and a function that opens it. Nothing here is imported before it is needed.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from importlib import import_module
from pathlib import Path

from lynx_cl.data.annotators import OPTIONS
from lynx_cl.data.pictures import PictureSet, picture_problems
from lynx_cl.data.sources import DataSource, Wanted, questions_about
from lynx_cl.data.specs import Spec, parse_spec
from lynx_cl.errors import UsageError

NOTHING, FOLDER, FILE, NAME = "", "FOLDER", "FILE", "NAME"


@dataclass(frozen=True)
class Reader:
    """A kind of source. It gives annotated `pictures`, about which any kind of task can ask, or opens examples itself.

    `place` is what its name goes on with after a colon, which `optional` lets it do without, `options` what may follow
    after a question mark, with what each is. `card` names the task it is shown with where none is given.
    """

    summary: str
    pictures: Callable[[Spec, Wanted], PictureSet] | None = None
    open: Callable[[Spec, Wanted], DataSource] | None = None
    place: str = FOLDER
    options: Mapping[str, str] = field(default_factory=dict)
    card: str = "grounding"
    optional: bool = False

    def form(self, name: str) -> str:
        """How it is written.

        >>> READERS["llava"].form("llava")
        'llava:FILE[?images=...&test=...&test_images=...&answers=...&calibration=...&max_broken=...]'
        """
        more = "&".join(f"{option}=..." for option in self.options)
        place = (f":{self.place}" if self.place else "") + (f"[?{more}]" if more else "")
        return f"{name}[{place}]" if self.optional else name + place


def find_reader(text: str) -> tuple[Reader, Spec]:
    """The kind of a source, and its name taken apart. Raises UsageError for an unknown kind, place or option."""
    spec = parse_spec(text)
    reader = READERS.get(spec.kind)
    if reader is None:
        close = difflib.get_close_matches(spec.kind, READERS, n=1)
        known = ", ".join(replace(one, options={}).form(name) for name, one in READERS.items())
        raise UsageError(
            f"data source '{text}' is unknown; " + (f"did you mean {close[0]}?" if close else f"known: {known}")
        )
    if not (reader.optional and text == spec.kind) and (
        bool(reader.place) != bool(spec.place) or (":" in text and not spec.place)
    ):
        raise UsageError(
            f"data source '{text}': give it as {spec.kind}:{reader.place}"
            if reader.place
            else f"data source '{text}': takes no folder; give it as {spec.kind}"
        )
    allowed = [*reader.options, *OPTIONS] if reader.place and (spec.place or not reader.optional) else []
    for option in spec.options:
        if option not in allowed:
            known = ", ".join(allowed) or "none"
            raise UsageError(f"data source '{text}': option '{option}' is unknown; known: {known}")
    path = Path(spec.place).expanduser()
    if not spec.place:
        return reader, spec
    if reader.place == FOLDER and not path.is_dir():
        raise UsageError(f"data source '{text}': no folder {path}")
    if reader.place == FILE and not path.is_file():
        raise UsageError(f"data source '{text}': no file {path}")
    return reader, replace(spec, place=str(path), home=path.parent if reader.place == FILE else path)


def absolute(text: str) -> str:
    """A source's name with the path in it made absolute, so that it can be opened from anywhere. Paths among its
    options are told from that path, and stay."""
    spec = parse_spec(text)
    reader = READERS.get(spec.kind)
    if not spec.place or (reader is not None and reader.place == NAME):
        return text
    query = "&".join(f"{option}={value}" for option, value in spec.options.items())
    return f"{spec.kind}:{Path(spec.place).expanduser().absolute()}" + (f"?{query}" if query else "")


def problems(text: str) -> Iterator[str]:
    """Goes through all of a source and tells what is broken in it, a line each.

    Raises UsageError for a source without files, LynxError where a file is broken as a whole."""
    from lynx_cl.tasks import load_card

    reader, spec = find_reader(text)
    card = load_card(reader.card)
    if "max_broken" in reader.options:  # what is refused is what is asked about
        spec = replace(spec, options={**spec.options, "max_broken": "1"})
    wanted = Wanted(card, card.box_grammar(), spec=spec)
    if reader.pictures is not None:
        return picture_problems(reader.pictures(spec, wanted))
    source = reader.open(spec, wanted) if reader.open is not None and reader.options else None
    if source is None or source.problems is None:
        raise UsageError(f"data source '{text}': is drawn or built by lynx-cl; it has no records of yours to check")
    return source.problems()


def _scout(spec: Spec, wanted: Wanted) -> DataSource:
    if spec.place:
        from lynx_cl.data.scouted.source import scouted_source

        return scouted_source(spec, wanted)
    if wanted.card.kind != "grounding":
        raise UsageError(
            f"data source 'scout': teaches grounding; task '{wanted.card.name}' is of kind {wanted.card.kind}, "
            "for which scenes, voc:FOLDER and coco:FOLDER are made"
        )
    from lynx_cl.data.scout import scout_source

    return scout_source(wanted)


def _scenes(spec: Spec, wanted: Wanted) -> DataSource:
    from lynx_cl.data.world import scene_set
    from lynx_cl.tasks import KINDS

    return questions_about(scene_set(wanted.seed, wanted.limit, KINDS[wanted.card.kind].signs), wanted)


def _examples(module: str, function: str) -> Callable[[Spec, Wanted], DataSource]:
    return lambda spec, wanted: getattr(import_module(f"lynx_cl.data.{module}"), function)(Path(spec.place), wanted)


def _pictures(module: str, function: str) -> Callable[[Spec, Wanted], PictureSet]:
    return lambda spec, wanted: getattr(import_module(f"lynx_cl.data.{module}"), function)(Path(spec.place))


def _voc(spec: Spec, wanted: Wanted) -> PictureSet:
    from lynx_cl.data.voc import read_voc

    first = spec.options.get("first", "1")
    if first not in ("0", "1"):
        raise UsageError(f"data source '{spec.text}': first = '{first}': boxes are counted from 1 or from 0")
    return read_voc(Path(spec.place), int(first))


def _optioned(module: str, function: str) -> Callable[[Spec, Wanted], PictureSet]:
    return lambda spec, wanted: getattr(import_module(f"lynx_cl.data.{module}"), function)(spec)


_IMAGES = {"images": "folder of the pictures"}
_COLUMNS = {
    "image": "column of the pictures",
    "question": "column of the questions",
    "answer": "column of the answers, texts or lists of them",
}
_BROKEN = {"max_broken": "share of records that may be broken, 0.01 if not given"}

READERS: dict[str, Reader] = {
    "scout": Reader(
        "grounding in steps: what is relevant, where it is, the answer; about drawn scenes, or pictures of your own "
        "that 'lynx-cl data build scout --images' labelled",
        open=_scout,
        options=_IMAGES,
        optional=True,
    ),
    "scenes": Reader("drawn scenes with exact boxes, asked about as the task does", open=_scenes, place=NOTHING),
    "voc": Reader(
        "a Pascal VOC folder: Annotations, JPEGImages, ImageSets/Main",
        _voc,
        options={"first": "what its boxes are counted from: 1 as in VOC, or 0"},
    ),
    "coco": Reader("a COCO folder: annotations/instances_*.json and its pictures", _pictures("coco", "read_coco")),
    "lvis": Reader("an LVIS folder: lvis_v1_*.json and COCO's pictures", _pictures("coco", "read_lvis")),
    "refcoco": Reader(
        "a RefCOCO, RefCOCO+ or RefCOCOg folder: refs(unc).p or .json, instances.json, and COCO's train2014",
        _optioned("refcoco", "read_refcoco"),
        options={
            "split_by": "unc, google or umd; the first that is there if not given",
            "test": "test, testA, testB or val; all that begin with test if not given",
            **_IMAGES,
        },
    ),
    "flickr30k": Reader(
        "a Flickr30k Entities folder: Sentences, Annotations, train.txt, val.txt, test.txt, and its pictures",
        _optioned("flickr30k", "read_flickr30k"),
        options=_IMAGES,
    ),
    "vg": Reader(
        "a Visual Genome folder: region_descriptions.json, image_data.json, VG_100K, VG_100K_2",
        _optioned("visual_genome", "read_visual_genome"),
        options=_IMAGES,
    ),
    "llava": Reader(
        "LLaVA-style conversations about pictures: a JSON array or JSON lines",
        open=_examples("llava", "llava_source"),
        place=FILE,
        options={
            **_IMAGES,
            "test": "file of the test split",
            "test_images": "folder of its pictures, where it is another",
            "answers": "file of the answers to it, where it has none itself",
            "calibration": "file of the calibration split",
            **_BROKEN,
        },
        card="instruct",
    ),
    "text": Reader(
        "prompts and responses in words alone: JSON lines or a JSON array",
        open=_examples("text", "text_source"),
        place=FILE,
        options={"test": "file of the test split", "calibration": "file of the calibration split", **_BROKEN},
        card="instruct",
    ),
    **{
        name: Reader(
            summary,
            open=_examples("vqa", f"{name}_source"),
            options={**_IMAGES, **_BROKEN},
            card="instruct",
        )
        for name, summary in {
            "vqav2": "a VQA v2 folder: v2_*_questions.json, v2_*_annotations.json, COCO's train2014 and val2014",
            "gqa": "a GQA folder: train_balanced_questions.json, testdev_balanced_questions.json, images",
            "textvqa": "a TextVQA folder: TextVQA_0.5.1_train.json, TextVQA_0.5.1_val.json, train_images",
            "vizwiz": "a VizWiz-VQA folder: Annotations, train, val",
        }.items()
    },
    "parquet": Reader(
        "a folder of parquet files train*, val*, test*: rows of picture, question and answer",
        open=_examples("tables", "parquet_source"),
        options={**_COLUMNS, **_BROKEN},
        card="instruct",
    ),
    "hub": Reader(
        "a data set of a hub, by name, or its copy in a folder: rows as for parquet",
        open=lambda spec, wanted: import_module("lynx_cl.data.tables").hub_source(spec.place, wanted),
        place=NAME,
        options={**_COLUMNS, "config": "its configuration", "revision": "its revision", **_BROKEN},
        card="instruct",
    ),
    "built": Reader("examples that 'lynx-cl data build' wrote", open=_examples("built", "built_source")),
}
