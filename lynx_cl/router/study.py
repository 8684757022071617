"""The routing study: the router and its peers on a folder of intents, under few and many prompts and tasks, on prompts
of no task, on close and on later ones."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from lynx_cl.base.settings import Seed, Settings, read_settings
from lynx_cl.errors import UsageError
from lynx_cl.router import bench
from lynx_cl.router.baselines import BASELINES
from lynx_cl.router.bench import Labelled
from lynx_cl.router.embedders import Embedder, Request
from lynx_cl.router.intents import Intents
from lynx_cl.router.router import Decision, Router, RouterConfig
from lynx_cl.router.synthetic import synthetic_intents

Rows = NDArray[np.float32]
Table = list[dict[str, Any]]
Say = Callable[[str], None]
SLOW = ("joint_logistic", "kernel", "sequential_logistic")  # left out where there are more than COMPARED tasks
COMPARED = 100
SETTINGS_FILE = "study.yaml"
MOST_TESTED = 40  # prompts of a task, and as many for calibration


class StudySettings(Settings):
    """What is tried.

    `prompts`: numbers of training prompts a task; `usual`: the one that everything else is tried with. `resamplings`:
    how often the prompts are split anew at the usual number, `fewer` at the others. `errors`: promised, each. `tasks`:
    numbers of made-up tasks, each of `synthetic` prompts, half to train on.
    """

    prompts: tuple[Annotated[int, Field(ge=2)], ...] = (5, 10, 20, 40, 80, 100)
    usual: int = Field(40, ge=2)
    resamplings: int = Field(20, ge=1)
    fewer: int = Field(5, ge=1)
    errors: tuple[Annotated[float, Field(gt=0, lt=1)], ...] = (0.01, 0.05, 0.1)
    tasks: tuple[Annotated[int, Field(ge=2)], ...] = (2, 10, 50, 200, 500)
    synthetic: int = Field(24, ge=8, le=54)
    seed: Seed = 0


def read_study(folder: Path) -> StudySettings:
    """The settings in `study.yaml` of a folder of intents, the usual ones where there is none. Raises UsageError."""
    path = folder / SETTINGS_FILE
    if not path.is_file():
        return StudySettings()
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException
    from yaml import YAMLError

    try:
        values = OmegaConf.to_container(OmegaConf.load(path), resolve=True)
    except (OSError, UnicodeDecodeError, YAMLError, OmegaConfBaseException) as error:
        raise UsageError(f"{path}: cannot be read ({str(error).splitlines()[0]})") from None
    if not isinstance(values, dict):
        raise UsageError(f"{path}: give keys and values")
    return read_settings(StudySettings, {str(key): value for key, value in values.items()}, str(path))


@dataclass(frozen=True)
class Embedded:
    """The prompts of a folder as vectors, by part and file."""

    texts: Intents
    rows: dict[str, dict[str, Rows]]

    def foreign(self) -> Labelled:
        """All prompts of no task."""
        texts = tuple(text for own in self.texts.foreign.values() for text in own)
        rows = list(self.rows["foreign"].values())
        return Labelled(texts, np.concatenate(rows) if rows else _none(self), (None,) * len(texts))


def embed_intents(intents: Intents, embedder: Embedder) -> Embedded:
    """Embeds every prompt once."""
    parts = ("intents", "foreign", "close", "drift")
    rows = {
        part: {name: embedder.embed([Request(text) for text in own]) for name, own in getattr(intents, part).items()}
        for part in parts
    }
    return Embedded(intents, rows)


def run_study(intents: Intents, embedder: Embedder, config: RouterConfig, wanted: StudySettings, say: Say) -> dict:
    """Tables by name, each a list of rows, and `settings`. The router is as `config` says, but for the error.

    Raises UsageError where an intent has too few prompts for what is wanted.
    """
    name, shortest = min(((name, len(texts)) for name, texts in intents.intents.items()), key=lambda pair: pair[1])
    most = max(*wanted.prompts, wanted.usual)
    if most > shortest - 2:
        raise UsageError(
            f"study: {most} prompts to train on, but intents/{name}.txt holds {shortest}; leave two or more"
        )
    embedded = embed_intents(intents, embedder)
    every = tuple(BASELINES)
    say(f"routing: {len(intents.intents)} intents, {wanted.usual} prompts a task, {wanted.resamplings} resamplings")
    tables = _usual(embedded, embedder, config, wanted, every)
    few = []
    for number in wanted.prompts:
        say(f"routing: {number} prompts a task")
        few += _averaged(
            [
                bench.judge(bench.fit(splits, embedder, config), splits, every, timed=False)
                for splits in resampled(embedded, number, wanted.fewer, wanted.seed)
            ],
            prompts=number,
        )
    many = []
    for count in wanted.tasks:
        say(f"routing: {count} made-up tasks")
        many += _averaged([_synthetic(count, wanted.synthetic, embedder, config)], tasks=count)
    return {
        "settings": {**wanted.model_dump(), "router": config.model_dump(), "embedder": embedder.name},
        **tables,
        "prompts": few,
        "tasks": many,
    }


def resampled(embedded: Embedded, train: int, times: int, seed: int) -> Iterator[dict[str, Labelled]]:
    """`times` splits of the intents' prompts: `train` to train on, of the rest half each for calibration and test,
    MOST_TESTED at most; the foreign prompts are tested too."""
    foreign = embedded.foreign()
    for number in range(times):
        rng = np.random.default_rng([seed, train, number])
        parts: dict[str, list[tuple[str, str, Rows]]] = {"train": [], "calibration": [], "test": []}
        for name, texts in embedded.texts.intents.items():
            order = rng.permutation(len(texts))
            rest = min((len(texts) - train) // 2, MOST_TESTED)
            bounds = {
                "train": (0, train),
                "calibration": (train, train + rest),
                "test": (train + rest, train + 2 * rest),
            }
            for split, (start, stop) in bounds.items():
                parts[split] += [(texts[i], name, embedded.rows["intents"][name][i]) for i in order[start:stop]]
        splits = {
            split: Labelled(tuple(t for t, _, _ in own), np.stack([r for _, _, r in own]), tuple(n for _, n, _ in own))
            for split, own in parts.items()
        }
        test = splits["test"]
        splits["test"] = Labelled(
            test.texts + foreign.texts, np.concatenate([test.rows, foreign.rows]), test.tasks + foreign.tasks
        )
        yield splits


def coverage_bounds(error: float, calibrated: int, tested: int) -> tuple[float, float]:
    """Between what a coverage that was promised as 1 - error lies in 99 of 100 tests, if the promise is just kept.

    Of n calibration requests, k = floor((n + 1) error) may miss; how many of m tested ones are covered is then beta-
    binomial with n + 1 - k and k (Vovk 2012; Angelopoulos & Bates 2021).
    """
    from scipy.stats import betabinom

    missed = max(1, math.floor((calibrated + 1) * error + 1e-9))
    spread = betabinom(tested, calibrated + 1 - missed, missed)
    return float(spread.ppf(0.005)) / tested, float(spread.ppf(0.995)) / tested


def _usual(
    embedded: Embedded, embedder: Embedder, config: RouterConfig, wanted: StudySettings, every: Sequence[str]
) -> dict[str, Table]:
    """At the usual number of prompts: all methods, coverage, foreign prompts by kind, hard prompts, confusion."""
    told, coverage = [], []
    foreign: dict[str, list[dict[str, Any]]] = {kind: [] for kind in embedded.rows["foreign"]}
    hard: dict[str, list[dict[str, Any]]] = {part: [] for part in ("close", "drift") if embedded.rows[part]}
    names = sorted(embedded.texts.intents)
    confused: Counter[tuple[str, str]] = Counter()
    for number, splits in enumerate(resampled(embedded, wanted.usual, wanted.resamplings, wanted.seed)):
        known = splits["test"].known()
        router = bench.fit(splits, embedder, config)
        inside = router.decide_rows(known.rows)
        told.append(bench.judge(router, splits, every, timed=number == 0))
        confused.update((str(task), likeliest(decision)) for task, decision in zip(known.tasks, inside, strict=True))
        for error in wanted.errors:
            sure = bench.fit(splits, embedder, config.model_copy(update={"error": error}))
            coverage.append({"error": error, "resampling": number, **_covered(sure, known, error)})
        for kind, rows in embedded.rows["foreign"].items():
            outside = router.decide_rows(rows)
            facts = bench.outliers(inside, outside)
            away = _share(decision.abstained for decision in outside)
            foreign[kind].append({"auroc": facts["ood_auroc"], "fpr95": facts["ood_fpr95"], "abstained": away})
        for part, own in hard.items():
            own.append(_hard(router, embedded.rows[part], splits["train"]))
    return {
        "usual": _averaged(told, prompts=wanted.usual),
        "coverage": coverage,
        "foreign": [{"kind": kind, **_means(own)} for kind, own in foreign.items()],
        "hard": [{"part": part, **_means(own)} for part, own in hard.items()],
        "confusion": [{"task": a, "sent_to": b, "requests": confused[a, b]} for a in names for b in names],
    }


def _covered(router: Router, known: Labelled, error: float) -> dict[str, float]:
    """How often the candidates hold the right task, the bounds of that, their mean number, and how often none is."""
    sets = [decision.candidates for decision in router.decide_rows(known.rows)]
    low, high = coverage_bounds(error, router.promise.requests, len(sets))
    return {
        "coverage": _share(task in own for task, own in zip(known.tasks, sets, strict=True)),
        "low": low,
        "high": high,
        "set_size": float(np.mean([len(own) for own in sets])),
        "empty": _share(not own for own in sets),
    }


def likeliest(decision: Decision) -> str:
    """The classifier's choice, whether or not the router abstained."""
    return max(decision.probabilities, key=decision.probabilities.__getitem__)


def _hard(router: Router, parts: dict[str, Rows], train: Labelled) -> dict[str, float]:
    """On prompts by task: accuracy, that of the nearest mean, how many sets hold the task, how many are abstained."""
    rows = np.concatenate(list(parts.values()))
    names = sorted({str(task) for task in train.tasks})
    truth = [name for name, own in parts.items() for _ in own]
    decisions = router.decide_rows(rows)
    mean = BASELINES["nearest_mean"](train.rows, np.array([names.index(str(task)) for task in train.tasks]))(rows)
    return {
        "accuracy": _share(likeliest(d) == b for d, b in zip(decisions, truth, strict=True)),
        "nearest_mean": _share(names[a] == b for a, b in zip(mean, truth, strict=True)),
        "coverage": _share(b in d.candidates for d, b in zip(decisions, truth, strict=True)),
        "abstained": _share(d.abstained for d in decisions),
    }


def _synthetic(count: int, each: int, embedder: Embedder, config: RouterConfig) -> dict[str, Any]:
    made = synthetic_intents(count, each)
    half, aside = each // 2, each // 4
    bounds = {"train": (0, half), "calibration": (half, half + aside), "test": (half + aside, each)}
    splits = {}
    for split, (start, stop) in bounds.items():
        texts = tuple(text for own in made.values() for text in own[start:stop])
        owners = tuple(name for name, own in made.items() for _ in own[start:stop])
        splits[split] = Labelled(texts, embedder.embed([Request(text) for text in texts]), owners)
    peers = [name for name in BASELINES if count <= COMPARED or name not in SLOW]
    return bench.judge(bench.fit(splits, embedder, config), splits, peers)


def _averaged(told: Sequence[dict[str, Any]], **key: int) -> Table:
    """A row a method: means over resamplings, and the standard deviation of the balanced accuracy."""
    rows = []
    figures = ("balanced_accuracy", "macro_f1", "ece", "coverage", "set_size", "abstained", "ood_auroc", "ood_fpr95")
    for method in ("router", *told[0]["baselines"]):
        own = [one if method == "router" else one["baselines"][method] for one in told]
        means = {
            name: float(np.mean([one[name] for one in own])) if own[0].get(name) is not None else None
            for name in figures
        }
        spread = float(np.std([one["balanced_accuracy"] for one in own]))
        rows.append(
            {**key, "method": method, **means, "accuracy_sd": spread, "microseconds": own[0].get("microseconds")}
        )
    return rows


def _means(rows: Sequence[dict[str, Any]]) -> dict[str, float]:
    return {name: float(np.mean([row[name] for row in rows])) for name in rows[0]}


def _share(values: Iterable[bool]) -> float:
    told = list(values)
    return sum(told) / len(told)


def _none(embedded: Embedded) -> Rows:
    first = next(iter(embedded.rows["intents"].values()))
    return np.zeros((0, first.shape[1]), np.float32)
