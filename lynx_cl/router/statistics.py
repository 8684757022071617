"""What one task gives the router: sums that a closed form is solved from, and the requests kept to compare with."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import safetensors.numpy
from numpy.typing import NDArray
from safetensors import SafetensorError

from lynx_cl.errors import LynxError, UsageError

if TYPE_CHECKING:
    from lynx_cl.router.embedders import Embedder, Request

FORMAT = 3
KEY = "lynx_cl"


@dataclass(frozen=True, eq=False)
class TaskStatistics:
    """A task's requests, summed. All that depends on them alone, so tasks can come and go in any order.

    `count` requests; `sum` (dimension) of their vectors in float64, and `moment`, the upper triangle of their second
    moment, row by row, or None where the exemplars are all of them; `prototypes` (p, dimension), means of clusters of
    them, and `exemplars` (e, dimension), unit rows of `texts`, both in float32. `calibration` (c, dimension) are unit
    rows of `calibration_texts`, requests that nothing else here was made from. `embedder` is the name and
    `embedder_digest` the digest of what made the vectors.
    """

    task: str
    embedder: str
    embedder_digest: str
    count: int
    sum: NDArray[np.float64]
    moment: NDArray[np.float64] | None
    prototypes: NDArray[np.float32]
    texts: tuple[str, ...]
    exemplars: NDArray[np.float32]
    calibration_texts: tuple[str, ...]
    calibration: NDArray[np.float32]

    @property
    def dimension(self) -> int:
        return len(self.sum)

    @property
    def mean(self) -> NDArray[np.float64]:
        """The mean of the requests' vectors, (dimension)."""
        return self.sum / self.count

    @property
    def second_moment(self) -> NDArray[np.float64]:
        """The sum over requests of x x', (dimension, dimension)."""
        if self.moment is None:
            exact = self.exemplars.astype(np.float64)
            whole = exact.T @ exact
            return np.triu(whole) + np.triu(whole, 1).T
        whole = np.zeros((self.dimension, self.dimension))
        whole[np.triu_indices(self.dimension)] = self.moment
        return whole + np.triu(whole, 1).T

    def nearest_texts(self, count: int = 3) -> list[list[str]]:
        """For each prototype the kept requests that are nearest to it, the nearest first."""
        places = np.argsort(-(self.prototypes @ self.exemplars.T), axis=1, kind="stable")[:, :count]
        return [[self.texts[place] for place in row] for row in places]

    def to_bytes(self) -> bytes:
        """Safetensors: the same statistics give the same bytes."""
        told = {
            "format": FORMAT,
            "task": self.task,
            "embedder": self.embedder,
            "embedder_digest": self.embedder_digest,
            "count": self.count,
            "texts": list(self.texts),
            "calibration_texts": list(self.calibration_texts),
        }
        tensors = {
            "sum": self.sum,
            "prototypes": self.prototypes,
            "exemplars": self.exemplars,
            "calibration": self.calibration,
        }
        if self.moment is not None:
            tensors["moment"] = self.moment
        metadata = {KEY: json.dumps(told, sort_keys=True, ensure_ascii=True, separators=(",", ":"))}
        return safetensors.numpy.save({name: np.ascontiguousarray(t) for name, t in tensors.items()}, metadata)

    @classmethod
    def from_bytes(cls, data: bytes, where: str) -> TaskStatistics:
        """The statistics of `to_bytes`. Raises LynxError naming `where` they were read for anything else."""
        try:
            tensors = safetensors.numpy.load(data)
            header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
            told = json.loads(header["__metadata__"][KEY])
            if told["format"] != FORMAT:
                raise LynxError(
                    f"{where}: router statistics of format {told['format']}, this lynx-cl reads {FORMAT}; "
                    "get the bank again, or train it anew"
                )
            made = cls(
                task=told["task"],
                embedder=told["embedder"],
                embedder_digest=told["embedder_digest"],
                count=told["count"],
                sum=tensors["sum"],
                moment=tensors.get("moment"),
                prototypes=tensors["prototypes"],
                texts=tuple(told["texts"]),
                exemplars=tensors["exemplars"],
                calibration_texts=tuple(told["calibration_texts"]),
                calibration=tensors["calibration"],
            )
            made._check(where)
        except (SafetensorError, KeyError, TypeError, ValueError):
            raise LynxError(f"{where}: no router statistics, or damaged; run 'lynx-cl registry verify'") from None
        return made

    def _check(self, where: str) -> None:
        """Raises LynxError, beginning with `where`, where the parts do not agree with each other."""
        parts: list[NDArray[Any]] = [self.sum, self.prototypes, self.exemplars, self.calibration]
        if self.moment is not None:
            parts.append(self.moment)
        if not (self.count > 0 and all(np.isfinite(part).all() for part in parts)):
            raise LynxError(f"{where}: router statistics that are not finite or of no request; add the task again")
        rows = (
            (self.prototypes, None),
            (self.exemplars, len(self.texts)),
            (self.calibration, len(self.calibration_texts)),
        )
        whole = self.moment is not None or self.count == len(self.exemplars)
        agree = (
            self.sum.ndim == 1
            and all(p.ndim == 2 and p.shape[1] == self.dimension and n in (None, len(p)) for p, n in rows)
            and 0 < len(self.prototypes) <= self.count
            and 0 < len(self.exemplars) <= self.count
            and whole
            and (self.moment is None or self.moment.shape == (self.dimension * (self.dimension + 1) // 2,))
            and all(np.allclose(np.linalg.norm(p, axis=1), 1, atol=1e-3) for p, _ in rows[1:])
            and float(np.linalg.norm(self.prototypes, axis=1).max()) <= 1 + 1e-3
            # unit vectors: their squares sum to how many they are, and their sum is no longer than that
            and abs(float(np.trace(self.second_moment)) - self.count) <= 1e-3 * self.count
            and float(np.linalg.norm(self.sum)) <= self.count * (1 + 1e-3)
        )
        if not agree:
            raise LynxError(f"{where}: the counts of its router statistics do not agree; get the bank again")


def check_statistics(data: bytes, where: str) -> None:
    """Raises LynxError, beginning with `where`, for bytes that are no sound router statistics."""
    TaskStatistics.from_bytes(data, where)


def fit_task(
    name: str,
    requests: Sequence[str | Request],
    embedder: Embedder,
    calibration: Sequence[str | Request] = (),
) -> TaskStatistics:
    """The statistics of a task's requests; those in `calibration` are only kept, to be calibrated on.

    The order of requests without a picture does not matter, and a repeated one counts once. Raises UsageError where
    there is none or one is empty.
    """
    if not requests:
        raise UsageError(f"task {name}: the router needs at least one prompt of it; give some")
    chosen, aside = _requests(requests), _requests(calibration)
    rows = embedder.embed(chosen)
    kept = embedder.embed(aside) if aside else np.zeros((0, rows.shape[1]), np.float32)
    return summed(name, [request.text for request in chosen], rows, embedder, [r.text for r in aside], kept)


def _requests(given: Sequence[str | Request]) -> list[Request]:
    from lynx_cl.router.embedders import Request

    made = [Request(request) if isinstance(request, str) else request for request in given]
    plain = sorted({request.text for request in made if request.image is None})
    return [*(Request(text) for text in plain), *(request for request in made if request.image is not None)]


def summed(
    name: str,
    texts: Sequence[str],
    rows: NDArray[np.float32],
    embedder: Embedder,
    calibration_texts: Sequence[str] = (),
    calibration: NDArray[np.float32] | None = None,
) -> TaskStatistics:
    """The statistics of requests whose vectors `rows` (n, dimension) are known already, and those for calibration."""
    from lynx_cl.router import prototypes

    if calibration is None:
        calibration = np.zeros((0, rows.shape[1]), np.float32)
    exact = rows.astype(np.float64)
    if not (np.isfinite(exact).all() and np.isfinite(calibration).all()):
        raise LynxError(f"task {name}: the embedder {embedder.name} gave vectors that are not finite")
    centres = prototypes.clusters(rows, calibration)
    kept = prototypes.spread(rows, prototypes.EXEMPLARS)
    moment = exact.T @ exact
    return TaskStatistics(
        task=name,
        embedder=embedder.name,
        embedder_digest=embedder.digest,
        count=len(rows),
        sum=exact.sum(0),
        moment=moment[np.triu_indices(rows.shape[1])] if len(kept) < len(rows) else None,
        prototypes=centres.astype(np.float32),
        texts=tuple(texts[i] for i in kept),
        exemplars=rows[kept],
        calibration_texts=tuple(calibration_texts),
        calibration=np.ascontiguousarray(calibration, np.float32),
    )
