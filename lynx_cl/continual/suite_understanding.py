"""Image understanding on published sets, before and after: the base alone, and the same questions through the router.

A request that the router leaves to the base gets the base's very answer, so it is asked once.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lynx_cl.base.load import load_base
from lynx_cl.base.nano.questions import KINDS
from lynx_cl.base.nano.wider_questions import KINDS as WIDER
from lynx_cl.base.places import base_of
from lynx_cl.continual.scores import UNDERSTANDING_METRIC, understanding_forms, understanding_scores
from lynx_cl.continual.suite_answers import PORTION, Asker, asker, named
from lynx_cl.data.asked_sets import AskedSet, Question
from lynx_cl.data.benchmarks import open_benchmark
from lynx_cl.data.example import Example, ImageRef, Provenance, Step, open_image
from lynx_cl.data.understanding import understanding
from lynx_cl.errors import UsageError
from lynx_cl.evaluation.benchmarks import RULES, Reading, by_facet, set_scores
from lynx_cl.evaluation.generate import Request, answer
from lynx_cl.registry.snapshot import BASE_TASK
from lynx_cl.registry.store import Registry
from lynx_cl.router.stored import router_config

if TYPE_CHECKING:
    from lynx_cl.banks.attach import Owner

TOKENS = 64  # most of an answer, where nothing else is said: it is a word or a phrase
_DRAWN = Provenance("scenes", "oracle", "")
SCENES = {"scenes": KINDS, "scenes-wide": WIDER}  # drawn scenes: what nano was pretrained on, and nano-wide after it


@dataclass(frozen=True)
class UnderstandingSuite:
    """What is asked, of whom.

    - `data`: the sets, at most `questions` of each split.
    - `task`: who answers after the base, None for whoever the router sends each question to, with `changes` put over
      its settings; `base` asks the base alone.
    - `tokens`: the most that an answer may have.
    """

    data: tuple[str, ...]
    questions: int = 300
    task: str | None = None
    batch_size: int = 32
    tokens: int = TOKENS
    changes: Mapping[str, object] | None = None


@dataclass(frozen=True)
class _Set:
    """A set with the picture of each of its questions, None for one about none."""

    asked: AskedSet
    pictures: Sequence[ImageRef | None]


def run_understanding(
    suite: UnderstandingSuite, registry: Registry, base_name: str, say: Callable[[str], None]
) -> dict[str, Any]:
    """The facts of the suite: for each set the scores of the base alone (`before`) and, unless that is all that is
    asked for, of what the registry answers (`after`), by kind of question too. Where one of its tasks has learned from
    such a set, also of that task's bank with the task given (`given`).

    Raises UsageError for a set or task that does not fit, before the base is loaded; LynxError for data, banks or a
    base that cannot be read.
    """
    if suite.task not in (None, BASE_TASK, *registry.tasks()):
        known = ", ".join((BASE_TASK, *registry.tasks()))
        raise UsageError(f"--task {suite.task}: not in the registry; known: {known}")
    sets = [one for text in suite.data for one in _open(text, suite.questions)]
    names = _names(sets)
    if suite.task is None and registry.tasks() and router_config(registry, suite.changes).embedder == "trunk":
        for name, one in zip(names, sets, strict=True):
            _check_pictures(name, one)
    after = {None: "routed", BASE_TASK: None}.get(suite.task, suite.task)
    base = load_base(base_of(registry, base_name))
    told = {}
    with asker(registry, base, suite.task, suite.changes, suite.batch_size, suite.tokens) as ask:
        for name, one in zip(names, sets, strict=True):
            say(f"understanding: {name}, {len(one.asked.questions)} questions")
            given = _taught(registry, one.asked.rule) if suite.task is None else []
            parts = ("before", *(["after"] if after else []), *(["given"] if len(given) == 1 else []))
            answered = list(_answered(one, ask, parts, given))
            told[name] = _facts(one, answered, parts)
            if len(given) == 1:
                told[name]["given_to"] = given[0]
            elif given:
                learned = ", ".join(given)
                told[name]["remarks"].append(f"{len(given)} tasks learned from such a set: {learned}; --task asks one")
    return {"suite": "understanding", "data": list(suite.data), "before": "base alone", "after": after, "sets": told}


def _open(text: str, most: int) -> list[_Set]:
    if text in SCENES:
        return [_scenes(text, most)]
    return [_Set(one, [_place(q) for q in one.questions]) for one in open_benchmark(text, most)]


def _check_pictures(name: str, one: _Set) -> None:
    """Raises UsageError where a router that looks at pictures would be asked about none."""
    bare = sum(picture is None for picture in one.pictures)
    if bare:
        raise UsageError(
            f"{name}: {bare} of {len(one.pictures)} questions are about no picture, which the router's trunk embedder "
            "needs; leave them out (scienceqa:FOLDER?only=image), or say who answers with --task"
        )


def _place(question: Question) -> ImageRef | None:
    return Path(question.image) if question.image else None


def _scenes(name: str, most: int) -> _Set:
    """Questions about held-out scenes, each kind as often as the others."""
    examples = list(understanding("test", most, kinds=SCENES[name]))
    questions = [
        Question(
            example.image_key,
            "",
            ((example.prompt, example.steps[-1].answer),),
            kind=example.kind,
            number=str(number),
            facets={"kind": example.kind},
        )
        for number, example in enumerate(examples)
    ]
    return _Set(AskedSet(name, "scenes", questions), [example.image for example in examples])


def _names(sets: Sequence[_Set]) -> list[str]:
    """The names of sets, told apart by number where two have the same."""
    seen: Counter[str] = Counter()
    names = []
    for one in sets:
        seen[one.asked.name] += 1
        count = seen[one.asked.name]
        names.append(one.asked.name if count == 1 else f"{one.asked.name} ({count})")
    return names


def _taught(registry: Registry, kind: str) -> list[str]:
    """The tasks that learned from a data source of a kind."""
    return [name for name in registry.tasks() if registry.task(name).manifest.data.get("source") == kind]


@dataclass(frozen=True)
class _Answered:
    """What was said to a question in each part of the comparison, and by whom after."""

    said: Mapping[str, str]
    by: str


def _answered(one: _Set, ask: Asker, parts: Sequence[str], given: Sequence[str]) -> Iterator[_Answered]:
    """The answers to the questions of a set, asked in portions, so that memory stays flat."""
    left = iter(_requests(one))
    while portion := list(islice(left, PORTION)):
        before = _said(ask, portion, [None] * len(portion), {})
        owners = ask.decide(portion) if "after" in parts else [None] * len(portion)
        told = {"before": before}
        if "after" in parts:
            told["after"] = _said(ask, portion, owners, {(None, i): text for i, text in enumerate(before)})
        if "given" in parts:
            known = {(owner, i): told["after"][i] for i, owner in enumerate(owners) if owner == given[0]}
            told["given"] = _said(ask, portion, [given[0]] * len(portion), known)
        for place, owner in enumerate(owners):
            yield _Answered({part: texts[place] for part, texts in told.items()}, named(owner))


def _said(
    ask: Asker, requests: Sequence[Request], owners: Sequence[Owner], known: Mapping[tuple[Any, int], str]
) -> list[str]:
    """The answer to each request by its owner; what is `known` of an owner and a request's place is not asked again."""
    told = [known.get((owner, i)) if isinstance(owner, str | None) else None for i, owner in enumerate(owners)]
    open_ = [i for i, text in enumerate(told) if text is None]
    fresh = _ask(ask, [requests[i] for i in open_], [owners[i] for i in open_])
    for i, text in zip(open_, fresh, strict=True):
        told[i] = text
    return [str(text) for text in told]


def _ask(ask: Asker, requests: Sequence[Request], owners: Sequence[Owner]) -> list[str]:
    if not requests:
        return []
    return answer(ask.base, ask.attachment, requests, owners, max_new_tokens=ask.tokens, batch_size=ask.batch_size)


def _requests(one: _Set) -> Iterable[Request]:
    """The requests of a set; a picture that several questions in a row are about is opened once."""
    last, image = "", None
    for question, picture in zip(one.asked.questions, one.pictures, strict=True):
        if question.key != last:
            last, image = question.key, open_image(picture) if picture is not None else None
        yield Request(question.text, image)


def _facts(one: _Set, answered: Sequence[_Answered], parts: Sequence[str]) -> dict[str, Any]:
    """The scores of a set, and by kind of question; with `after` which answers became better or worse."""
    asked = one.asked
    facts: dict[str, Any] = {"questions": len(asked.questions)}
    values, facets = {}, {}
    for part in parts:
        said = [each.said[part] for each in answered]
        readings = [_read(asked.rule, q, text) for q, text in zip(asked.questions, said, strict=True)]
        facts[part] = set_scores(asked.rule, asked.questions, said, readings)
        values[part] = [reading.published for reading in readings]
        facets[part] = by_facet(asked.questions, values[part])
        if asked.rule == "scenes":
            kinds = facets[part]["kind"].values()
            facts[part]["mean_of_kinds"] = sum(mean for _, mean in kinds) / len(kinds)
    if "after" in parts:
        pairs = [
            (a, b) for q, a, b in zip(asked.questions, values["before"], values["after"], strict=True) if q.counted
        ]
        facts["difference"] = facts["after"]["accuracy"] - facts["before"]["accuracy"]
        facts["worse"] = sum(after < before for before, after in pairs)
        facts["better"] = sum(after > before for before, after in pairs)
        facts["answered_by"] = dict(sorted(Counter(each.by for each in answered).items()))
    facts["by"] = {
        facet: {
            kind: {"questions": count, **{part: facets[part][facet][kind][1] for part in facets}}
            for kind, (count, _) in kinds.items()
        }
        for facet, kinds in facets["before"].items()
    }
    facts["remarks"] = list(asked.remarks)
    return facts


def _read(rule: str, question: Question, text: str) -> Reading:
    return RULES[rule](question, text) if rule in RULES else _read_scene(question, text)


def _read_scene(question: Question, text: str) -> Reading:
    """As the base's own task is scored: a caption by F1 of its things, yes or no by its first word, the rest whole."""
    example = Example(
        None, (Step(question.text, question.answer),), (), BASE_TASK, "test", question.key, _DRAWN, question.kind
    )

    def score(said: str) -> float:
        return understanding_scores([example], [said])[UNDERSTANDING_METRIC]

    published = score(text)
    forms = understanding_forms(example, text, published >= 1)
    return Reading(published, score(forms.strict), score(forms.normalised))
