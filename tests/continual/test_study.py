"""A study's file: what it means, and one line for everything that can be wrong in it before anything runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from lynx_cl.banks.base import read_bank_config
from lynx_cl.continual.comparison import cell_tables
from lynx_cl.continual.course import Terms
from lynx_cl.continual.method import method_names
from lynx_cl.continual.results import StageResult, StudyFolder
from lynx_cl.continual.results_file import export_results
from lynx_cl.continual.study import Study, lessons, read_study, terms_of
from lynx_cl.continual.study_files import find_study, known_studies
from lynx_cl.errors import LynxError, UsageError
from lynx_cl.home import Home

GOOD: dict[str, Any] = {
    "name": "mine",
    "tasks": {"counting": None, "grounding": {"metric": "mean_iou"}},
    "orders": [["counting", "grounding"], ["grounding", "counting"]],
    "methods": {"lynx": None, "wide": {"method": "lora", "rank": 32}},
    "seeds": [0, 1],
    "budget": {"pictures": 8, "steps": 2},
}


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path)


def written(home: Home, **changes: Any) -> str:
    folder = home.path / "experiments"
    folder.mkdir(exist_ok=True)
    told = {key: value for key, value in {**GOOD, **changes}.items() if value != "gone"}
    (folder / "mine.yaml").write_text(yaml.safe_dump(told, sort_keys=False))
    return str(folder / "mine.yaml")


def test_a_study_is_read_by_path_and_by_name(home: Home) -> None:
    path = written(home)
    study = read_study(path, ["budget.steps=5", "methods.wide.rank=4", "seeds=[7]"], home)
    assert study.budget.steps == 5 and study.methods["wide"]["rank"] == 4
    assert [cell.key for cell in study.cells()] == [
        "lynx/order-1-seed-7",
        "wide/order-1-seed-7",
        "lynx/order-2-seed-7",
        "wide/order-2-seed-7",
    ]
    assert find_study("mine", home) == Path(path) and Path(path) in known_studies(home)
    assert read_study("mine", [], home).budget.pictures == 8


def test_the_order_of_the_tasks_is_the_default(home: Home) -> None:
    study = read_study(written(home, orders="gone", seeds="gone"), [], home)
    assert study.sequences() == (("counting", "grounding"),) and study.seeds == (0,)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"metods": 1}, "key 'metods' is unknown; known: base, budget"),
        ({"methods": {"lynks": None}}, "method 'lynks' is unknown; known: derpp, ewc"),
        ({"methods": {"lora": {"rnk": 2}}}, "methods.lora: key 'rnk' is unknown; known: alpha"),
        ({"methods": {"a/b": {"method": "lora"}}}, "label 'a/b': give letters"),
        ({"methods": {"lora": {"learns": 0.1}}}, "methods.lora.learns = 0.1: give keys of it: share, chains, loss"),
        ({"methods": {"moelora": {"experts": 100}}}, "methods.moelora: bank lora: experts = 100"),
        ({"methods": {"l" * 65: {"method": "lora"}}}, "at most 64"),
        ({"name": "n" * 65}, "should have at most 64"),
        ({"tasks": {"base": {"card": "counting"}, "grounding": None}, "orders": "gone"}, "'base' is the name of what"),
        ({"tasks": {"../x": {"card": "counting"}}, "orders": "gone"}, r"tasks\.\.\./x.* should match pattern"),
        (
            {"tasks": {"counting": {"dat": "scenes"}}, "orders": "gone"},
            "counting.dat' is unknown; known: card, ",
        ),
        ({"budget": {"pictures": 10**20}}, "budget.pictures = 1"),
        ({"methods": {}}, "methods = {}: dictionary should have at least 1 item"),
        ({"tasks": {"countin": None}, "orders": []}, "task 'countin' is unknown; known: cells, comparison, counting"),
        (
            {"tasks": {"counting": {"metric": "acc_iou50"}}, "orders": []},
            "tasks.counting.metric = 'acc_iou50': unknown",
        ),
        ({"tasks": {"cells": None}, "orders": []}, "tasks.cells: its card names no data source"),
        ({"tasks": {"counting": {"data": "scen"}}, "orders": []}, "data source 'scen' is unknown; did you mean scenes"),
        ({"orders": [["counting"]]}, "order 1 misses 'grounding'; name each task once"),
        ({"orders": [["counting", "grounding", "counting"]]}, "order 1 repeats 'counting'"),
        ({"orders": [["counting", "grounding", "cells"]]}, "order 1 names 'cells', which is no task of the study"),
        ({"orders": [["counting", "grounding"]] * 2}, "order 2 is order 1 again"),
        ({"budget": {"steps": 0}}, "budget.steps = 0: input should be greater than or equal to 1"),
        ({"budget": {"pictures": 0}}, "budget.pictures = 0: input should be greater"),
        ({"seeds": [1, 1]}, "give each seed once"),
        ({"seeds": [-1]}, "seeds.0 = -1: input should be greater than or equal to 0"),
        ({"seeds": [2**32]}, "seeds.0 = 4294967296: input should be less than 4294967296"),
        (
            {"methods": {"ewc": {"strength": float("inf")}}},
            "methods.ewc: strength = inf: input should be a finite number",
        ),
        (
            {"methods": {"a": {"method": "lynx", "bank": "lroa"}}},
            "mine.yaml: methods.a: bank kind 'lroa' is unknown; known: block, external, lora, twin",
        ),
        ({"methods": {"lynx": {"config": {"rnk": 2}}}}, "methods.lynx: bank lora: key 'rnk' is unknown; known: attent"),
        ({"methods": {"lynx": {"bank": "external"}}}, "methods.lynx: task 'counting' is of kind counting; an external"),
        ({"methods": {"lynx": {"tasks": {"boats": {}}}}}, "methods.lynx: tasks names boats, which is no task of the"),
        (
            {"methods": {"lynx": {"tasks": {"counting": {"bnk": 1}}}}},
            "key 'tasks.counting.bnk' is unknown; known: b",
        ),
        (
            {"methods": {"lynx": {"tasks": {"counting": {"bank": "block", "config": {"rank": 2}}}}}},
            "methods.lynx: tasks.counting: bank block: key 'rank' is unknown; known: attention",
        ),
        (
            {"methods": {"lynx": {"tasks": {"counting": {}}, "detectors": {"counting": "x"}}}},
            "methods.lynx: tasks and detectors both say what answers counting; keep one",
        ),
        ({"methods": {"lynx": {"detectors": {"boats": "x"}}}}, "methods.lynx: detectors names boats, which is no task"),
        ({"methods": {"lynx": {"detectors": {"grounding": "./nope"}}}}, "methods.lynx: .*nope"),
        ({"methods": {"lynx": {"embedder": "txt"}}}, "methods.lynx: router: embedder 'txt' is unknown; known: text"),
        ({"methods": {"lynx": {"embedder": "text:/nope"}}}, "methods.lynx: .*/nope"),
        ({"seeds": []}, r"seeds = \[\]: "),
        ({"name": "My study"}, "name = 'My study': string should match"),
        ({"name": "gone"}, "key 'name' is missing"),
        ({"methods": {"lora": {"learns": {"share": 0}}}}, "methods.lora.learns: share = 0: input should be greater"),
        ({"methods": {"lora": {"learns": {"steps": 0}}}}, "methods.lora.learns: key 'steps' is unknown; known: chains"),
        (
            {"methods": {"lora": {"learns": {"loss": "x"}}}},
            "methods.lora.learns: loss = 'x': input should be 'st",
        ),
        ({"ray": {"cpus": 0}}, "ray.cpus = 0: input should be greater"),
        ({"executor": "cloud"}, "executor = 'cloud': input should be 'turn', 'processes' or 'ray'"),
    ],
)
def test_what_is_wrong_is_one_line(home: Home, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        read_study(written(home, **changes), [], home)
    assert "\n" not in str(caught.value)


def test_two_studies_of_one_name(home: Home) -> None:
    path = Path(written(home))
    other = path.with_name("other.yaml")
    other.write_text(path.read_text())
    with pytest.raises(UsageError, match=f"{path}: name = 'mine': is that of {other} already"):
        read_study(str(path), [], home)
    assert read_study(str(path), ["name=hers"], home).name == "hers"


def test_a_study_that_is_nowhere(home: Home) -> None:
    with pytest.raises(UsageError, match="study 'absent' is unknown; known: .*smoke"):
        read_study("absent", [], home)
    with pytest.raises(UsageError, match="no such file"):
        read_study("absent.yaml", [], home)
    with pytest.raises(UsageError, match="give it as key=value, for instance budget.steps=100"):
        read_study(written(home), ["budget"], home)


MADE = {"base nano": "1"}
STAGE: dict[str, Any] = {"stage": 1, "task": None, "blind": {}, "aware": {}, "metrics": {}, "examples": {}}


def study(**changes: Any) -> Study:
    return Study(**{**GOOD, **changes})


def begin(folder: StudyFolder) -> None:
    """Results of the base alone and of a stage of every cell."""
    folder.keep_alone(StageResult(**{**STAGE, "stage": 0}))
    for cell in folder.study().cells():
        folder.cell(cell).keep(StageResult(**STAGE))


def test_a_folder_goes_on_with_its_own_study_alone(tmp_path: Path) -> None:
    folder = StudyFolder(tmp_path / "mine")
    folder.open(study(), {"base nano": "1"})
    first = folder.identity
    begin(folder)
    folder.open(
        study(methods={**GOOD["methods"], "ewc": {}}, seeds=[0, 1, 2], executor="processes"), {"base nano": "1"}
    )
    assert folder.identity == first and set(folder.study().methods) == {"lynx", "wide", "ewc"}
    for changes, message in [
        ({"budget": {"pictures": 8, "steps": 3}}, "holds results with budget.steps = 2, this study has 3"),
        ({"base": "other"}, "base = nano, this study has other"),
        ({"tasks": {"counting": None}, "orders": []}, "tasks"),
        ({"methods": {"wide": {"method": "lora", "rank": 8}}}, "methods.wide"),
        ({"methods": {"lynx": {"learns": {"share": 0.5}}}}, "methods.lynx"),
        ({"orders": [["grounding", "counting"]]}, "order 1"),
    ]:
        with pytest.raises(UsageError, match=message) as caught:
            folder.open(study(**changes), {"base nano": "1"})
        assert "give it another name with name=NAME" in str(caught.value)
    folder.open(study(methods={"lynx": {}}, tasks={**GOOD["tasks"], "counting": {"data": "llava:/elsewhere"}}), MADE)
    assert set(folder.study().methods) == {"lynx", "wide"}  # what has results stays; ewc came to none
    with pytest.raises(UsageError, match=r"methods.wide.rank = \d+, this study has 64; .*rm -r .*/cells/wide"):
        folder.open(study(methods={"wide": {"method": "lora", "rank": 64}}), MADE)


def test_what_came_to_nothing_binds_nothing(tmp_path: Path) -> None:
    folder = StudyFolder(tmp_path / "mine")
    folder.open(study(base="absent"), {"base absent": "2"})
    folder.open(study(budget={"pictures": 8, "steps": 3}), MADE)
    assert folder.study().base == "nano" and folder.made_of == MADE
    folder.keep_alone(StageResult(**{**STAGE, "stage": 0}))
    folder.cell(study().cells()[0]).fail("no memory")
    folder.open(study(budget={"pictures": 8, "steps": 3}, methods={"lynx": {"every": 3}}), MADE)
    assert folder.study().methods["lynx"]["every"] == 3 and len(folder.study().methods) == 1


def test_seeds_and_orders_with_results_stay(tmp_path: Path) -> None:
    folder = StudyFolder(tmp_path / "mine")
    two = study(seeds=[0, 1], orders=[["counting", "grounding"], ["grounding", "counting"]])
    folder.open(two, MADE)
    folder.keep_alone(StageResult(**{**STAGE, "stage": 0}))
    last = two.cells()[-1]
    folder.cell(last).keep(StageResult(**STAGE))
    folder.open(study(seeds=[2], orders=[["counting", "grounding"]]), MADE)
    assert set(folder.study().seeds) == {1, 2} and folder.study().sequences() == two.orders
    assert last.key in {cell.key for cell in folder.study().cells()}
    with pytest.raises(UsageError, match="order 1"):
        folder.open(study(orders=[["grounding", "counting"]]), MADE)


def test_methods_come_as_the_study_names_them(home: Home) -> None:
    """Whatever has results already, and in whichever order they came."""
    study = read_study(written(home), [], home)
    begun = study.model_copy(update={"methods": {"pin": {}, "wide": study.methods["wide"]}})
    assert list(study.joined(begun).methods) == ["lynx", "wide", "pin"]


def test_a_stage_that_is_missing_or_damaged(tmp_path: Path) -> None:
    folder = StudyFolder(tmp_path / "mine")
    folder.open(study(), MADE)
    folder.keep_alone(StageResult(**{**STAGE, "stage": 0}))
    own = folder.cell(study().cells()[0])
    own.keep(StageResult(**{**STAGE, "stage": 2}))
    (own.path / "stage-1 (copy).json").write_text("{}")
    for look in (lambda: cell_tables(folder), lambda: export_results(folder, tmp_path / "file")):
        with pytest.raises(LynxError, match="a stage's file is missing; remove this folder to run the cell anew"):
            look()
    own.keep(StageResult(**STAGE))
    (own.path / "failed.json").write_text("[")
    assert own.failure is not None and own.failure.endswith("damaged")
    (folder.path / "base.json").write_text("[")
    with pytest.raises(LynxError, match=r"base.json: damaged; remove .*base.json to run that part anew"):
        folder.alone()
    (folder.path / "study.json").write_text("[]")
    with pytest.raises(LynxError, match="study.json: damaged"):
        folder.study()


def test_a_base_that_changed_is_another_study(tmp_path: Path) -> None:
    folder = StudyFolder(tmp_path / "mine")
    folder.open(study(), {"base nano": "1", "data of counting": "2"})
    begin(folder)
    with pytest.raises(UsageError, match="holds results with data of counting = 2, this study has 3"):
        folder.open(study(), {"base nano": "1", "data of counting": "3"})


@pytest.fixture(scope="module")
def shipped(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Study]:
    """The shipped studies by their files' names, all of them checked as a run does, on few pictures."""
    home = Home(tmp_path_factory.mktemp("home"))
    own = [path for path in known_studies(home) if "oc.env" not in path.read_text()]
    # those about data that users have: tests/continual/test_benchmark_layouts.py
    return {path.stem: read_study(str(path), ["budget.pictures=20"], home) for path in own}


def test_every_shipped_study_is_right(shipped: dict[str, Study]) -> None:
    assert shipped.keys() >= {"data", "experts", "growth", "order", "sequence-8", "smoke"}
    for name, told in shipped.items():
        assert told.cells() and told.title and told.name == name
        for label, settings in told.methods.items():  # what only a base tells: the banks that are named can be built
            if settings.get("bank") or settings.get("config"):
                read_bank_config(settings.get("bank", "lora"), settings.get("config", {}))
            assert terms_of(label, settings).share > 0


def test_shipped_studies_are_what_they_say(shipped: dict[str, Study]) -> None:
    eight = shipped["sequence-8"]
    assert len(eight.tasks) == 8 and len(eight.orders) == 3 and eight.seeds == (0, 1, 2)
    methods = {settings.get("method", label) for label, settings in eight.methods.items()}
    assert methods == set(method_names())  # a new method has to be put in, or left out on purpose
    assert all("learning_rate" in own for label, own in eight.methods.items() if label != "zero-shot")  # in full
    assert {order[0] for order in eight.orders} == {"grounding", "comparison", "spatial"}
    square = list(zip(*shipped["order"].orders, strict=True))  # each task comes once in each place
    assert len(square) == 3 and all(set(place) == {"grounding", "counting", "spatial"} for place in square)
    data = shipped["data"]
    told = [terms_of(label, settings) for label, settings in data.methods.items()]
    shares = {0.01, 0.03, 0.1, 0.3, 1.0}
    for chains in (True, False):
        assert {one.share for one in told if one.chains == chains and one.loss == "step"} == shares
    assert {one.share for one in told if one.loss == "plain"} == {0.1, 1.0}
    banks = [settings.get("config", {}) for settings in shipped["experts"].methods.values()]
    assert {one.get("experts") for one in banks} >= {1, 2, 4, 8} and {one.get("top_k") for one in banks} >= {1, 2}
    assert {one.get("alpha") for one in banks} == {None, "fixed"}


def test_what_a_label_learns(home: Home) -> None:
    told = read_study(
        written(home, tasks={"grounding": {"data": "scout"}}, orders=[], budget={"pictures": 200}), [], home
    )
    full, tenth = (lessons(told, ["grounding"], home, terms=Terms(share=share))[0] for share in (1.0, 0.1))
    assert len(full.train) == 200 and list(tenth.train) == list(full.train[:20])
    for split in ("calibration", "test"):
        assert len(tenth.source.groups(split)) == len(full.source.groups(split))
    (plain,) = lessons(told, ["grounding"], home, terms=Terms(chains=False))
    assert max(len(example.steps) for example in full.source.examples("train")) > 1
    assert {len(example.steps) for example in plain.source.examples("train")} == {1}
    tests = [[example.steps for example in lesson.source.examples("test")] for lesson in (full, plain)]
    assert tests[0] == tests[1]
