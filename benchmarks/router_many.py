"""What the router costs as tasks grow: to be solved anew, to decide, and in memory. The peer is scikit-learn's fit.

    python benchmarks/router_many.py --tasks 10 100 1000 10000

Prints one JSON object a number of tasks. Seconds of solving the whole router from kept statistics (`rebuild`), of
scikit-learn's linear discriminant analysis with the same shrinkage on all requests (`scikit_learn`, up to 300 tasks),
and how many of 1,000 requests the two decide alike. Milliseconds of a decision about a vector (`decide`) and of one
whose text MiniLM embeds first (`whole`): medians; `to_first` is the ratio of the latter to that of the first number of
tasks, all routers taking turns. `prototypes`, and whether every one is compared (`exact`); if not, the share of
requests whose nearest prototype the approximate index finds (`recall`); `same_as_all_scored`: the share of decisions
that are those of scoring every task (the rest abstained, or was not on the shortlist). `bytes` are those of what the
router holds.

Requests are made up: 24 a task around 8 directions, 384 numbers each, 8 prototypes a task, 4 calibration requests.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import time
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

from lynx_cl.router.embedders import Request, TextEmbedder
from lynx_cl.router.router import Router
from lynx_cl.router.statistics import TaskStatistics

DIMENSION, REQUESTS, CENTRES, ASIDE = 384, 24, 8, 4
PEER = 300  # tasks up to which scikit-learn is fitted
TURNS = 60
TEXT = "Draw a box around the small dog on the left."


class Given:
    """Stands for an embedder; the vectors are made up."""

    name, digest, dimension, near, pictures = "given", "0" * 64, DIMENSION, 0.4, False


def unit(rows: NDArray[np.float64]) -> NDArray[np.float32]:
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def task(number: int) -> tuple[TaskStatistics, NDArray[np.float32]]:
    """Statistics with CENTRES prototypes, and two more requests of the same kind."""
    rng = np.random.default_rng(number)
    middle = rng.normal(size=DIMENSION)
    centres = (middle + rng.normal(size=(CENTRES, DIMENSION))) / DIMENSION**0.5
    homes = np.arange(REQUESTS + ASIDE + 2) % CENTRES
    rows = unit(centres[homes] + rng.normal(size=(len(homes), DIMENSION)) * 0.04)
    own, aside, more = np.split(rows, [REQUESTS, REQUESTS + ASIDE])
    means = np.stack([own[homes[:REQUESTS] == i].mean(0) for i in range(CENTRES)])
    exact = own.astype(np.float64)
    name = f"task{number:05}"
    made = TaskStatistics(
        task=name,
        embedder=Given.name,
        embedder_digest=Given.digest,
        count=REQUESTS,
        sum=exact.sum(0),
        moment=None,
        prototypes=means,
        texts=tuple(f"{name} {i}" for i in range(REQUESTS)),
        exemplars=own,
        calibration_texts=tuple(f"{name} aside {i}" for i in range(ASIDE)),
        calibration=aside,
    )
    return made, more


def size(router: Router) -> int:
    """Bytes of the arrays and indices that a router holds."""
    assert router.classifier is not None
    own = [router.classifier.weights, router.sums.means, router.sums.moment, router.sums.within]
    kept = [part for t in router.tasks for part in (t.prototypes, t.exemplars, t.calibration, t.sum)]
    index = sum(map(len, (t.prototypes for t in router.tasks))) * DIMENSION * 4
    return sum(part.nbytes for part in [*own, *kept]) + index


def recall(router: Router, asked: NDArray[np.float32]) -> float:
    """Share of requests whose nearest prototype is found."""
    near = router.nearness
    every = np.concatenate([t.prototypes for t in router.tasks]) @ near._whiten
    found = np.array([one.distance for one in near.search(asked)])
    best = [np.sqrt(((every - row) ** 2).sum(1).min()) for row in asked @ near._whiten]
    return float(np.mean(found <= np.array(best) * (1 + 1e-4)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tasks", type=int, nargs="+", default=[10, 100, 1000, 10_000])
    counts = parser.parse_args().tasks
    made = [task(number) for number in range(max(counts))]
    routers, facts, asked = [], [], []
    for count in counts:
        tasks = [statistics_ for statistics_, _ in made[:count]]
        more = np.concatenate([rows for _, rows in made[:count]])
        own = np.ascontiguousarray(more[:: max(1, len(more) // 1000)][:1000])
        start = time.perf_counter()
        router = Router.solve(tasks, Given())
        told: dict[str, Any] = {"tasks": count, "rebuild": round(time.perf_counter() - start, 3)}
        assert router.classifier is not None
        every = np.array(router.classifier.tasks)[router.classifier.scores(own).argmax(1)]
        told["same_as_all_scored"] = float(
            np.mean([d.task == t for d, t in zip(router.decide_rows(own), every, strict=True)])
        )
        if count <= PEER:
            x = np.concatenate([t.exemplars for t in tasks]).astype(np.float64)
            y = np.repeat([t.task for t in tasks], REQUESTS)
            peer = LinearDiscriminantAnalysis(
                solver="lsqr", shrinkage=router.shrinkage, priors=np.full(count, 1 / count)
            )
            start = time.perf_counter()
            peer.fit(x, y)
            told["scikit_learn"] = round(time.perf_counter() - start, 3)
            told["alike"] = float((every == peer.predict(own)).mean())
        told |= {
            "prototypes": sum(len(t.prototypes) for t in tasks),
            "exact": router.nearness.exact,
            "recall": 1.0 if router.nearness.exact else recall(router, own[:200]),
            "bytes": size(router),
        }
        routers.append(router)
        facts.append(told)
        asked.append(own)
    embedder = TextEmbedder()
    embedder.embed([Request(TEXT)])
    decide: list[list[float]] = [[] for _ in counts]
    whole: list[list[float]] = [[] for _ in counts]
    for turn in range(TURNS):
        for place, router in enumerate(routers):
            row = asked[place][turn % len(asked[place])][None]
            start = time.perf_counter()
            embedder.embed([Request(TEXT)])
            middle = time.perf_counter()
            router.decide_rows(row)
            end = time.perf_counter()
            decide[place].append(end - middle)
            whole[place].append(end - start)
    first = statistics.median(whole[0])
    for told, own_times, all_times in zip(facts, decide, whole, strict=True):
        told["decide"] = round(1e3 * statistics.median(own_times), 3)
        told["whole"] = round(1e3 * statistics.median(all_times), 3)
        told["to_first"] = round(statistics.median(all_times) / first, 3)
        print(json.dumps(told), flush=True)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(json.dumps({"peak_megabytes": round(peak / 1024), "of": "the whole process, all routers at once"}))


if __name__ == "__main__":
    main()
