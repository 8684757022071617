"""The routing study on a small folder of intents: tables that agree with their source, files that are wrong."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lynx_cl.cli.main import main
from lynx_cl.errors import UsageError
from lynx_cl.router.embedders import Request
from lynx_cl.router.intents import Intents, read_intents
from lynx_cl.router.router import RouterConfig
from lynx_cl.router.study import StudySettings, coverage_bounds, embed_intents, read_study, resampled, run_study
from lynx_cl.router.synthetic import MOST, synthetic_intents
from lynx_cl.tracking.routing import TABLES, write_study
from tests.router.embedding import WordEmbedder
from tests.router.test_audit import THINGS
from tests.router.test_bench import FOREIGN, PATTERNS

WANTED = StudySettings(prompts=(4, 10), usual=16, resamplings=3, fewer=2, errors=(0.1, 0.3), tasks=(2, 4), synthetic=12)


def intents() -> Intents:
    made = {name: tuple(p.format(x) for p in own for x in THINGS) for name, own in PATTERNS.items()}
    close = {"boxes": ("how many boxes around the dog", "frame the count")}
    return Intents(made, {"noise": FOREIGN}, close, {})


@pytest.fixture(scope="module")
def facts() -> dict[str, Any]:
    return run_study(intents(), WordEmbedder(dimension=32), RouterConfig(), WANTED, lambda text: None)


def test_every_method_is_judged_at_every_number(facts: dict[str, Any]) -> None:
    assert {(row["prompts"], row["method"]) for row in facts["prompts"]} == {
        (number, method) for number in (4, 10) for method in {row["method"] for row in facts["usual"]}
    }
    assert len({row["method"] for row in facts["usual"]}) == 7 and {row["prompts"] for row in facts["usual"]} == {16}
    assert {row["tasks"] for row in facts["tasks"]} == {2, 4}
    router = next(row for row in facts["usual"] if row["method"] == "router")
    assert router["balanced_accuracy"] > 0.9 and router["microseconds"] > 0 and 0 <= router["ood_fpr95"] <= 1


def test_tables_hold_together(facts: dict[str, Any]) -> None:
    assert len(facts["coverage"]) == 2 * 3
    assert all(row["low"] <= 1 - row["error"] <= row["high"] <= 1 for row in facts["coverage"])
    tested = 3 * 12 * 3  # intents, test prompts of each, resamplings
    right = sum(row["requests"] for row in facts["confusion"] if row["task"] == row["sent_to"])
    assert sum(row["requests"] for row in facts["confusion"]) == tested
    router = next(row for row in facts["usual"] if row["method"] == "router")
    assert right / tested == pytest.approx(router["balanced_accuracy"])
    assert [row["kind"] for row in facts["foreign"]] == ["noise"] and [row["part"] for row in facts["hard"]] == [
        "close"
    ]


def test_splits_share_no_prompt_and_are_drawn_anew() -> None:
    embedded = embed_intents(intents(), WordEmbedder())
    first, second = resampled(embedded, 16, 2, 0)
    texts = [set(split.texts) for split in first.values()]
    assert [len(x) for x in texts] == [48, 36, 36 + len(FOREIGN)]
    assert not any(a & b for i, a in enumerate(texts) for b in texts[:i])
    assert first["train"].texts != second["train"].texts
    row = WordEmbedder().embed([Request(first["test"].texts[0])])[0]
    assert np.array_equal(first["test"].rows[0], row)


def test_bounds_equal_drawn_coverages() -> None:
    """Calibrate on uniform scores, test on others: 99 of 100 coverages lie within."""
    rng = np.random.default_rng(0)
    n, m, error = 99, 200, 0.1
    thresholds = np.sort(rng.random((4000, n)), axis=1)[:, int(np.ceil((n + 1) * (1 - error))) - 1]
    drawn = (rng.random((4000, m)) <= thresholds[:, None]).mean(1)
    low, high = coverage_bounds(error, n, m)
    assert np.mean((drawn >= low) & (drawn <= high)) == pytest.approx(0.99, abs=0.006)


def test_results_are_written_as_they_are(facts: dict[str, Any], tmp_path: Path) -> None:
    write_study(facts, tmp_path)
    with (tmp_path / "usual.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["method"] for row in rows] == [row["method"] for row in facts["usual"]]
    assert float(rows[0]["macro_f1"]) == pytest.approx(facts["usual"][0]["macro_f1"], abs=1e-6)
    assert json.loads((tmp_path / "results.json").read_text())["settings"]["usual"] == 16
    assert "| 16 | router |" in (tmp_path / "tables.md").read_text()
    made = {path.name for path in tmp_path.iterdir()}
    assert made == {*(f"{name}.csv" for name in TABLES), "results.json", "tables.md"} | {
        f"{name}.png" for name in ("prompts", "tasks", "coverage", "confusion")
    }


def test_made_up_intents_differ() -> None:
    made = synthetic_intents(MOST, 6)
    assert len(made) == MOST == 500
    every = [text for texts in made.values() for text in texts]
    assert len(set(every)) == len(every) and made == synthetic_intents(MOST, 6)
    with pytest.raises(ValueError, match="1 to 500"):
        synthetic_intents(501, 6)


def folder(path: Path, **parts: dict[str, list[str]]) -> Path:
    for part, files in parts.items():
        (path / part).mkdir(parents=True)
        for name, lines in files.items():
            (path / part / f"{name}.txt").write_text("# comment\n\n" + "\n".join(lines) + "\n")
    return path


MANY = {name: [f"{name} {i}" for i in range(14)] for name in ("a", "b")}


def test_a_folder_is_read_without_comments(tmp_path: Path) -> None:
    read = read_intents(folder(tmp_path, intents=MANY, drift={"b": ["b later"]}))
    assert read == Intents({k: tuple(v) for k, v in MANY.items()}, {}, {}, {"b": ("b later",)})


@pytest.mark.parametrize(
    ("parts", "words"),
    [
        ({"intents": {"a": MANY["a"]}}, "holds 1 files in intents/"),
        ({"intents": {**MANY, "c": ["one"]}}, "intents/c.txt: 1 prompts; give 12"),
        ({"intents": MANY, "close": {"z": ["x"]}}, "there is no intents/z.txt"),
        ({"intents": MANY, "foreign": {"f": ["a 3"]}}, "'a 3' is in intents/a.txt and in foreign/f.txt"),
    ],
)
def test_wrong_folders_are_named(tmp_path: Path, parts: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError) as caught:
        read_intents(folder(tmp_path, **parts))
    assert words in str(caught.value)


def test_wrong_settings_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = folder(tmp_path / "f", intents=MANY)
    home = ["--home", str(tmp_path / "home")]
    for text, words in (
        ("usual: 13\nprompts: [2]\n", "13 prompts to train on, but intents/a.txt holds 14"),
        ("usual: many\n", "study.yaml: usual = 'many'"),
        ("used: 3\n", "key 'used' is unknown"),
        ("usual: [\n", "study.yaml: cannot be read"),
    ):
        (path / "study.yaml").write_text(text)
        assert main(["route", "--bench", str(path), *home]) == 2
        error = capsys.readouterr().err
        assert words in error and error.count("\n") == 1
    assert main(["route", "a prompt", "--save", str(path), *home]) == 2
    assert "--save goes with --bench" in capsys.readouterr().err
    (path / "study.yaml").unlink()
    assert read_study(path) == StudySettings()


def test_the_shipped_prompts_are_sound() -> None:
    from lynx_cl.home import shipped

    place = shipped("experiments") / "routing"
    read = read_intents(place)
    assert len(read.intents) == 10 and {len(texts) for texts in read.intents.values()} == {120}
    assert set(read.close) == set(read.drift) == set(read.intents) and len(read.foreign) == 6
    assert read_study(place).usual == 40
