"""Reads prompts and responses in words alone, for bases that read no pictures: JSON lines, or a JSON array, of records

    {"prompt": "Say it in French: dog", "response": "chien"}
    {"messages": [{"role": "user", "content": "Say it in French: dog"}, {"role": "assistant", "content": "chien"}]}

The pair may also be called prompt and completion, question and answer, or instruction, input and output (Taori et al.
2023, Alpaca); an answer that is a list holds all that are accepted. Turns may also be written as LLaVA and ShareGPT do:
{"conversations": [{"from": "human", "value": ...}, {"from": "gpt", "value": ...}]}.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from pathlib import Path
from typing import Any

from lynx_cl.data.instruct import record_source
from lynx_cl.data.json_walk import Record
from lynx_cl.data.pictures import licence_of
from lynx_cl.data.records import LEARN, ONLY, WHOLE, Broken, Part, Records, Talk
from lynx_cl.data.sources import DataSource, Wanted

ANNOTATOR = "text json"
PAIRS = (("prompt", "response"), ("prompt", "completion"), ("question", "answer"), ("instruction", "output"))
_ROLES = {"system": "system", "user": "user", "human": "user", "assistant": "assistant", "gpt": "assistant"}
_KEY = 16  # hexadecimal digits of a prompt's digest


def text_source(file: Path, wanted: Wanted) -> DataSource:
    """The records of a file, split by their first prompts where no other files are named for the splits.

    Options: `test` and `calibration`, files of the same form for those splits; `max_broken`.
    """
    spec = wanted.spec
    test, calibration = spec.file("test"), spec.file("calibration")
    learn = WHOLE if test is None else LEARN
    if calibration is not None:
        learn = {split: "train" if part == "calibration" else part for split, part in learn.items()}
    parts = [Part(file, read, learn)]
    parts += [Part(path, read, ONLY["calibration"]) for path in (calibration,) if path is not None]
    parts += [Part(path, read, ONLY["test"]) for path in (test,) if path is not None]
    records = Records(spec.text, tuple(parts), spec.max_broken(), wanted.limit)
    return record_source(
        records, wanted, annotator=ANNOTATOR, licence=licence_of(file.parent), folder=file.parent, files=[]
    )


def read(record: Record) -> Talk:
    """The talk of a record, its key the digest of its first prompt. Raises Broken, also for one about a picture."""
    value = record.value
    if not isinstance(value, dict):
        raise Broken("a record is an object with 'prompt' and 'response', or with 'messages'")
    if value.get("image") or value.get("images"):
        raise Broken("is about a picture; give such records as llava:FILE")
    turns, references = _turns(value)
    kind = value.get("kind", "")
    key = hashlib.sha256(turns[0][0].encode()).hexdigest()[:_KEY]
    return Talk(key, "", turns, references, kind if isinstance(kind, str) else "")


def _turns(value: dict[str, Any]) -> tuple[tuple[tuple[str, str], ...], tuple[str, ...]]:
    for name, speaker, words in (("messages", "role", "content"), ("conversations", "from", "value")):
        if name in value:
            return _conversation(name, value[name], speaker, words), ()
    for question, answer in PAIRS:
        if question in value and answer in value:
            asked = _text(value[question], question)
            more = value.get("input") if question == "instruction" else None
            if more:
                asked += "\n\n" + _text(more, "input")
            given = value[answer]
            accepted = tuple(_text(one, answer) for one in given) if isinstance(given, list) else ()
            if isinstance(given, list) and not accepted:
                raise Broken(f"'{answer}' is an empty list")
            said = Counter(accepted).most_common(1)[0][0] if accepted else _text(given, answer)
            return ((asked, said),), accepted
    known = " or ".join(f"'{question}' and '{answer}'" for question, answer in PAIRS)
    raise Broken(f"has neither 'messages' nor {known}")


def _conversation(name: str, told: Any, speaker: str, words: str) -> tuple[tuple[str, str], ...]:
    """Questions with their answers. What the system says stands before the first question: not every template has a
    place for it."""
    if not isinstance(told, list) or not all(isinstance(turn, dict) for turn in told):
        raise Broken(f"'{name}' is no list of turns")
    roles = [_ROLES.get(str(turn.get(speaker)), "") for turn in told]
    said = [_text(_joined(turn.get(words)), words) for turn in told]
    system = [said.pop(0)] if roles[:1] == ["system"] else []
    roles = roles[len(system) :]
    if not roles or roles != ["user", "assistant"] * (len(roles) // 2):
        raise Broken(f"'{name}' is no row of questions, each with its answer, after a system turn at most")
    said[0] = "\n\n".join([*system, said[0]])
    return tuple(zip(said[::2], said[1::2], strict=True))


def _joined(content: Any) -> Any:
    """A turn's text, where it is written in parts."""
    if not isinstance(content, list):
        return content
    if not all(isinstance(part, dict) and part.get("type") == "text" for part in content):
        raise Broken("a turn holds more than text")
    return "".join(str(part.get("text", "")) for part in content)


def _text(value: Any, name: str) -> str:
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        value = str(value)
    if not isinstance(value, str) or not value.strip():
        raise Broken(f"'{name}' holds no text")
    return value.strip()
