"""A request that asks for several things, read as a plan: one clause for each, every one a request by itself.

Rules, no model; equal requests give equal clauses.

1. **Breaks.** A request may break at a sentence's end, ';', ',', 'and', 'then', 'plus' or 'as well as', outside quotes
   and brackets.
2. **Both sides ask.** It breaks there only where both sides begin, after words like 'please' and 'could you', with a
   verb of asking ('count the', 'box it') or a question ('where is', 'how many'), and ask for something. 'the dog and
   the cat', 'the black and white dog' stay whole. So does 'people who sit and read the paper', where the verb is the
   people's.
3. **One answer, one clause.** What only says again how to answer goes with what it follows: 'find the dog and mark it
   with a box', 'count the dogs and tell me the number'. Behind 'then' it is a clause of its own.
4. **Nothing is left open.** What points back to the clause before is named: 'the smallest', 'the smallest one', 'it',
   'its box', 'them', 'how many there are', 'the number'. A pronoun that has something in its own clause to point to
   stays. 'where the smallest is' behind 'tell me how many ...' is asked by 'tell me' too.
5. **Form.** A clause begins with a capital and ends with a mark where the request does. A request of one clause comes
   back as it was, but for white space at its ends.

English only. What joins two requests without a break, or names the thing behind the pronoun, is not found.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from lynx_cl.data.words import plural, singular

_JOIN = r"(?:and then|and also|as well as|and|then|plus)"
_BREAK = re.compile(rf"\s*[.;?!,]\s+(?:{_JOIN}\s+)?|\s+{_JOIN}\s+|;", re.I)
_WHOLE = re.compile(r'"[^"]*"|“[^”]*”|\([^)]*\)|\[[^\]]*\]')
_POLITE = (
    r"please|kindly|also|then|next|first|finally|afterwards|now|so|ok|okay|hey|and|"
    r"(?:could|can|would|will) you|i(?: want|'d like| would like) you to"
)
_FILLERS = re.compile(rf"(?:(?:{_POLITE})\b[\s,]*)+", re.I)
_ENDING = re.compile(r"(?:[\s,]+(?:please|too|as well|also|afterwards))+$", re.I)

_TELL = r"(?:tell (?:me|us)|let me know|say|show me|find out|i (?:want|need|would like) to know|i'd like to know)"
_QUESTION = (
    r"how (?:many|much|big|large|small|tall|far)|where|what|which|who|is there|are there|do you see|does the|is the|"
    r"are the"
)
_PLACING = (
    r"locate|find|detect|search for|look for|point (?:out|to|at)|box|mark|frame|circle|outline|highlight|draw|show|put|"
    r"ground|return|output"
)
_VERBS = rf"count|{_PLACING}|describe|identify|recognise|recognize|tell|give|read|list|name|say|report|i need|i want"
_CLEAR = r"count|locate|find|detect|describe|identify|search for|look for"  # never the name of a thing
_OBJECT = (
    r"the|a|an|all|every|each|any|both|me|us|it|its|them|their|this|that|these|those|where|which|what|how|out|up|around"
)
_ASKS = re.compile(
    rf"(?:(?:{_TELL}|{_CLEAR})\s+(?P<clear>.+)|(?:{_QUESTION})\b\s*(?P<question>.+)|"
    rf"(?:{_VERBS})\s+(?=(?:{_OBJECT})\b)(?P<verb>.+))",
    re.I | re.S,
)
_NOTHING = re.compile(r"(?:me|us|out|please|,|\s)*", re.I)
#: The verb behind 'and' may belong to these: 'people who sit', 'where do people sit'.
_OPEN = re.compile(
    r"\b(?:who|that)\s+(?!(?:is|are|was|were|has|have|can|you|i)\b)\w*[^s\W]\b|\b(?:do|does|did)\s+(?!(?:you|we|i)\b)",
    re.I,
)

_NUMBER = re.compile(r"\b(?:how many|count|number)\b", re.I)
_PLACE = re.compile(rf"(?:{_PLACING}|which)\b|.*\b(?:where|box|boxes|position|coordinates|location)\b", re.I | re.S)
_FORM = set(
    "box boxes bounding rectangle rectangles frame circle outline coordinates position positions location spot place "
    "number count answer exact picture image photo photograph total".split()
)
_GLUE = _FORM | set(
    "me us it its them their they this that one each the a an is are there where how many out exactly with around at "
    "of for in to on by".split()
)
_STOP = (
    r"is|are|was|were|lies|in|on|at|from|with|to|of|that|which|who|near|next|nearest|beside|behind|under|above|below|"
    r"left|right|between|inside|there|do|does|did|can|could|you|we|i|this|these|here|visible|shown|seen|has|have|by|for"
)
_SORTS = (
    r"smallest|largest|biggest|tallest|leftmost|rightmost|topmost|uppermost|bottommost|highest|lowest|nearest|closest|"
    r"farthest|furthest|first|second|third|last|small|medium|large|big|tall|tiny|other"
)
_ENDS = rf"(?=\s*(?:$|[,.;?!])|\s+(?:{_STOP}|and|or)\b)"
_COUNTED = re.compile(
    r".*\b(?:count|how many|number of|count of)\s+(?:up\s+)?(?:all\s+)?(?:of\s+)?(?:(?:the|these|those)\s+)?"
    rf"(?!(?:{_STOP}|it|them)\b)(.+?)(?=\s*$|\s*[,.;?!]|\s+(?:{_STOP})\b)",
    re.I | re.S,
)
_THING = re.compile(r"\b(?:the|a|an|this|that|each|every|all|any|which)\s+([^,.;?!]+)", re.I)
_TAIL = re.compile(
    r"\s+(?:in|on|of) (?:the|this) (?:picture|image|photo|photograph)\b.*|"
    r"\s+with (?:a|an|its)\b.*\b(?:box|rectangle)\b.*|\s+(?:is|are|lies)$|\s+for me$",
    re.I | re.S,
)
_ONE = re.compile(
    rf"\b(?P<which>the|this|that|which|each|every|any|another|an?)(?P<sort>(?:\s+(?!(?:{_STOP}|the|one)\b)[\w-]+){{0,3}}?)"
    rf"\s+(?P<one>ones?)\b{_ENDS}",
    re.I,
)
_SORT = re.compile(rf"\b(the\s+(?:(?:{_SORTS})\s+)*(?:{_SORTS})){_ENDS}", re.I)
_OWN = re.compile(r"\b(its|their)\s+((?:exact\s+|bounding\s+)*[\w-]+)", re.I)
_PRONOUN = re.compile(r"\b(it|them|they)\b", re.I)
#: A question in the order of words that it has behind 'tell me'.
_BARE = re.compile(
    r"(?:where|what|(?:which|how many)(?:\s+(?!(?:is|are|do|does|did|can)\b)[\w-]+)+?)"
    r"\s+(?:the|a|an|it|they|there|each|these|those)\b",
    re.I,
)


@dataclass(frozen=True)
class _Topic:
    """What a clause asks about: the name of one such thing, and how that clause means one and several."""

    one: str
    it: str
    them: str


@dataclass(frozen=True)
class _Piece:
    """What stands between two breaks, from `start` to `end` in the request, and the break before it."""

    start: int
    end: int
    before: str


def split_request(text: str) -> list[str]:
    """The clauses of a request, in its order, at least one.

    >>> split_request("Count the dogs and show where the smallest is.")
    ['Count the dogs.', 'Show where the smallest dog is.']
    >>> split_request("locate the leftmost cup, then box it and tell me how many cups there are")
    ['locate the leftmost cup', 'box the leftmost cup', 'tell me how many cups there are']
    >>> split_request("Find the dog and the cat and mark them with a box.")
    ['Find the dog and the cat and mark them with a box.']
    """
    text = text.strip()
    parts = _parts(text)
    if len(parts) == 1:
        return [text]
    clauses: list[str] = []
    topic: _Topic | None = None
    for part in parts:
        clause = _ENDING.sub("", _asking(part).rstrip(" \n\t.,;?!"))
        if clauses and _BARE.match(clause):
            told = re.match(_TELL, clauses[-1], re.I)
            clause = f"{told.group() if told else 'tell me'} {clause}"
        clause = _named(clause, topic) if topic is not None else clause
        topic = _topic(clause) or topic
        clauses.append(clause)
    return [_formed(clause, text) for clause in clauses]


def _parts(text: str) -> list[str]:
    """The clauses as they stand in the request."""
    parts: list[str] = []
    asks = False
    start = end = 0
    for piece in _pieces(text):
        left, right = text[start:end], text[piece.start : piece.end]
        own = _ask(right) is not None
        if asks and own and not _goes_on(left, right, piece.before):
            parts.append(left)
            start = piece.start
        asks, end = asks or own, piece.end
    return [*parts, text[start:end]]


def _pieces(text: str) -> Iterator[_Piece]:
    whole = [match.span() for match in _WHOLE.finditer(text)]
    start, before = 0, ""
    for match in _BREAK.finditer(text):
        if match.end() < len(text) and not any(low < match.start() < high for low, high in whole):
            yield _Piece(start, match.start(), before)
            start, before = match.end(), match.group().lower()
    yield _Piece(start, len(text), before)


def _asking(text: str) -> str:
    fillers = _FILLERS.match(text)
    return text[fillers.end() :] if fillers else text


def _ask(text: str) -> re.Match[str] | None:
    """How a text asks for something, if it does."""
    match = _ASKS.match(_asking(text))
    asked = next((value for value in match.groupdict().values() if value), "") if match else ""
    return match if asked and not _NOTHING.fullmatch(asked.rstrip(" .?!")) else None


def _goes_on(left: str, right: str, before: str) -> bool:
    """Whether a text that asks by itself belongs to the one before nevertheless."""
    asked = _ask(right)
    assert asked is not None
    if "then" in before:
        return False
    if asked.group("question") is None and before.strip(" ,") in ("and", "") and _OPEN.search(left):
        return True
    words = re.findall(
        r"[\w'-]+", _ENDING.sub("", next(value for value in asked.groupdict().values() if value)).lower()
    )
    return all(word in _GLUE for word in words) and _about(left) == _about(right) != ""


def _about(text: str) -> str:
    if _NUMBER.search(text):
        return "number"
    return "place" if any(_PLACE.match(_asking(piece)) for piece in (text, *_BREAK.split(text))) else ""


def _named(clause: str, topic: _Topic) -> str:
    """A clause with what points back to the topic named."""
    several = topic.them.removeprefix("the ")

    def one(match: re.Match[str]) -> str:
        return f"{match['which']}{match['sort']} {topic.one if match['one'].lower() == 'one' else several}"

    clause = _ONE.sub(one, clause)
    clause = re.sub(
        r"\bhow many(?=\s*$|\s+(?:there are|are there|you see|do you see)\b)", f"how many {several}", clause
    )
    clause = re.sub(r"\bthe (number|count)\b(?!\s+of)", rf"the \1 of {several}", clause)
    if not re.search(rf"\b(?:{re.escape(topic.one)}|{re.escape(several)})\b", clause, re.I):
        clause = _SORT.sub(rf"\1 {topic.one}", clause)
    if not any(_things(clause[: match.start()]) for match in _OWN.finditer(clause)):
        clause = _OWN.sub(lambda m: f"the {m[2]} of {topic.it if m[1].lower() == 'its' else topic.them}", clause)
    pronoun = _PRONOUN.search(clause)
    if pronoun and not any(_things(clause[: pronoun.start()])):
        clause = _PRONOUN.sub(lambda m: topic.it if m[1].lower() == "it" else topic.them, clause)
    return clause


def _topic(clause: str) -> _Topic | None:
    counted = _COUNTED.match(clause)
    if counted:
        many = counted[1]
        return _Topic(singular(many), f"the {singular(many)}", f"the {many}") if " and " not in many else None
    for thing in _things(clause):
        head = re.split(rf"\s+(?:{_STOP})\b", thing, maxsplit=1, flags=re.I)[0]
        named = re.sub(rf"^(?:(?:{_SORTS})\s+)+", "", head, flags=re.I)
        one = singular(named)
        if plural(one) == named:
            return _Topic(one, f"the {one}", f"the {thing}")
        return _Topic(named, f"the {thing}", f"the {plural(named)}")
    return None


def _things(text: str) -> list[str]:
    """What a text names with an article, without it, but for pictures and forms of answers."""
    found, place = [], 0
    while match := _THING.search(text, place):
        place = match.start(1)
        thing = _TAIL.sub("", match[1]).strip()
        if thing and not _FORM & set(thing.lower().split()[:2]):
            found.append(thing)
    return found


def _formed(clause: str, request: str) -> str:
    """A clause with the request's capital and mark."""
    clause = (clause[0].upper() if request[0].isupper() else clause[0].lower()) + clause[1:]
    if request[-1] not in ".?!":
        return clause
    return clause + ("?" if re.match(rf"(?:{_QUESTION})\b", clause, re.I) else ".")
