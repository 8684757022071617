"""How long the router takes to be solved anew from kept statistics. The peer is scikit-learn's fit on all the requests.

    python benchmarks/router_rebuild.py --tasks 10 100 300

Prints one JSON object a number of tasks: seconds (medians of three) of solving from the tasks' sums, of the whole
router with its FAISS indices and abstention bounds, and of scikit-learn's linear discriminant analysis with the same
shrinkage; and how many of 1,000 held-out requests the two decide alike. Requests are made up: 200 a task around 8
directions, 384 numbers each.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

from lynx_cl.router.classifier import lda
from lynx_cl.router.router import Router, RouterConfig
from lynx_cl.router.statistics import TaskStatistics, summed

DIMENSION, REQUESTS, CENTRES = 384, 200, 8


class Given:
    """Stands for an embedder; the vectors are made up."""

    name, digest, dimension, near = "given", "0" * 64, DIMENSION, 0.4


def requests(centres: NDArray[np.float64], count: int, rng: np.random.Generator) -> NDArray[np.float32]:
    rows = centres[rng.integers(len(centres), size=count)] + rng.normal(size=(count, DIMENSION)) * 0.06
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def seconds(run: Callable[[], Any]) -> float:
    times = []
    for _ in range(3):
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def measure(count: int) -> dict[str, Any]:
    rng = np.random.default_rng(0)
    names = [f"task{number:05}" for number in range(count)]
    centres = [rng.normal(size=(CENTRES, DIMENSION)) / DIMENSION**0.5 for _ in names]
    rows = [requests(own, REQUESTS, rng) for own in centres]
    tasks: list[TaskStatistics] = [
        summed(name, [f"{name} {i}" for i in range(REQUESTS)], own, Given())
        for name, own in zip(names, rows, strict=True)
    ]
    shrinkage = RouterConfig().shrinkage
    everything, labels = np.concatenate(rows).astype(np.float64), np.repeat(names, REQUESTS)
    peer = LinearDiscriminantAnalysis(solver="lsqr", shrinkage=shrinkage, priors=np.full(count, 1 / count))
    asked = np.concatenate([requests(own, 1 + 1000 // count, rng) for own in centres])[:1000]
    solved = lda(tasks, shrinkage)
    peer.fit(everything, labels)
    chosen = np.array(solved.tasks)[solved.scores(asked).argmax(1)]
    own, whole = seconds(lambda: lda(tasks, shrinkage)), seconds(lambda: Router.solve(tasks, Given()))
    others = seconds(lambda: peer.fit(everything, labels))
    return {
        "tasks": count,
        "solve": round(own, 4),
        "router": round(whole, 4),
        "scikit_learn": round(others, 4),
        "router_to_scikit_learn": round(whole / others, 3),
        "alike": float((chosen == peer.predict(asked)).mean()),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tasks", type=int, nargs="+", default=[10, 100, 300])
    for count in parser.parse_args().tasks:
        print(json.dumps(measure(count)), flush=True)


if __name__ == "__main__":
    main()
