"""Visual question answering in its published layouts: questions, the answer that is learned, all that are accepted."""

from __future__ import annotations

import json

import pytest

from lynx_cl.data.readers import problems
from lynx_cl.data.sources import open_source
from lynx_cl.errors import LynxError, UsageError
from lynx_cl.evaluation.instruct import score
from lynx_cl.tasks import load_card
from tests.data.published import write_gqa, write_textvqa, write_vizwiz, write_vqav2

CARD = load_card("instruct")


@pytest.mark.parametrize(
    ("kind", "write", "asked", "answer", "answers"),
    [
        ("vqav2", write_vqav2, "How many, of 1?", "1", 10),
        ("gqa", write_gqa, "Is thing 0 red?", "yes", 0),
        ("textvqa", write_textvqa, "what does sign 0 say?", "stop", 10),
        ("vizwiz", write_vizwiz, "What is it?", "a can", 10),
    ],
)
def test_train_is_learned_from_and_the_published_test_split_tested(tmp_path, kind, write, asked, answer, answers):
    source = open_source(f"{kind}:{write(tmp_path / kind)}" if kind != "gqa" else f"gqa:{write(tmp_path)}", CARD)
    counts = source.summary()["pictures"]
    assert counts["test"] == 5 and counts["train"] + counts["calibration"] == 30 and counts["calibration"] > 0
    first = next(source.examples("test"))
    assert (first.prompt, first.steps[0].answer, len(first.references)) == (asked, answer, answers)
    assert first.open().size == (40, 30)
    assert not {e.image_key for e in source.examples("train")} & {e.image_key for e in source.examples("test")}
    own = list(source.examples("test"))
    assert score(own, [e.steps[0].answer for e in own], CARD.box_grammar())["vqa_accuracy"] == 1.0
    assert len(source.digest()) == 64 and list(problems(source.name)) == []


def test_people_who_differ_are_all_heard(tmp_path):
    test = next(open_source(f"vqav2:{write_vqav2(tmp_path)}", CARD).examples("test"))
    assert sorted(set(test.references)) == ["1", "none"] and test.kind == "number"
    zero = score([test], ["0"], CARD.box_grammar())  # one of ten said 'none', which is 0
    assert zero["vqa_accuracy"] == pytest.approx(9 * (1 / 3) / 10)


def test_gqa_is_tested_on_val_where_there_is_no_testdev(tmp_path):
    source = open_source(f"gqa:{write_gqa(tmp_path, 'val_balanced')}", CARD)
    assert next(source.examples("test")).image_key == "va0.jpg" and next(source.examples("test")).kind == "verify"


def test_mistakes_are_told_by_line_and_refused_when_many(tmp_path):
    folder = write_vqav2(tmp_path)
    path = folder / "v2_mscoco_train2014_annotations.json"
    whole = json.loads(path.read_text())
    whole["annotations"] = whole["annotations"][1:]  # of question 30000
    path.write_text(json.dumps(whole))
    with pytest.raises(LynxError, match="line 1, record 30: question 30000 has no annotation in v2_mscoco_train2014"):
        open_source(f"vqav2:{folder}", CARD).summary()
    assert open_source(f"vqav2:{folder}?max_broken=0.1", CARD).remarks()[0].startswith("1 of 35 records are broken")
    (folder / "val2014" / "COCO_val2014_000000000002.jpg").unlink()
    assert len(list(problems(f"vqav2:{folder}"))) == 2
    path.unlink()
    with pytest.raises(UsageError, match=r"no v2_mscoco_train2014_annotations\.json in"):
        open_source(f"vqav2:{folder}", CARD)


def test_records_that_lack_something(tmp_path):
    folder = write_textvqa(tmp_path)
    path = folder / "TextVQA_0.5.1_train.json"
    whole = json.loads(path.read_text())
    whole["data"][0].pop("answers")
    whole["data"][1]["answers"] = []
    whole["data"][2] = 7
    path.write_text(json.dumps(whole, indent=1))
    told = list(problems(f"textvqa:{folder}"))
    assert len(told) == 3 and "line 6, record 1: 'answers' is missing" in told[0] and "has no answers" in told[1]
    with pytest.raises(UsageError, match="holds questions and answers; task 'grounding'"):
        open_source(f"textvqa:{folder}", load_card("grounding"))
