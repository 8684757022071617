"""Which bank each task of a study gets."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from pydantic import SerializerFunctionWrapHandler, model_serializer

from lynx_cl.base.settings import Settings
from lynx_cl.continual.config import read_config
from lynx_cl.continual.outside import KIND, bank_settings
from lynx_cl.errors import UsageError

if TYPE_CHECKING:
    from lynx_cl.tasks import TaskCard


class BankChoice(Settings):
    """`bank` is a kind of bank and `config` its settings, over those of `add-task`."""

    bank: str = "lora"
    config: dict[str, Any] = {}


class BankChoices(BankChoice):
    """The bank of every task but those that `tasks` names, by task, with a bank of their own.

    `detectors` names, by task, the frozen detector that answers in the place of a bank that is trained.
    """

    tasks: dict[str, BankChoice] = {}
    detectors: dict[str, str] = {}

    @model_serializer(mode="wrap")
    def _told(self, usual: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """`tasks` is told where it names any: results of before there was such a key are of the same method."""
        told: dict[str, Any] = usual(self)
        return told if self.tasks else {key: value for key, value in told.items() if key != "tasks"}

    def bank_of(self, card: TaskCard, base_grammar: str) -> tuple[str, dict[str, Any]]:
        """The kind and settings of a task's bank."""
        own = self.tasks.get(card.name, self)
        kind, values = own.bank, {**read_config().bank.get(own.bank, {}), **own.config}
        if card.name in self.detectors:
            kind, values = KIND, {"model": self.detectors[card.name]}
        return kind, bank_settings(kind, values, card, base_grammar)

    def check_banks(self, cards: Sequence[TaskCard], base_grammar: str) -> None:
        """Raises UsageError where a task's bank is none, or something is named for no task of `cards`, or twice."""
        from lynx_cl.banks.base import read_bank_config

        known = {card.name for card in cards}
        for key, named in (("tasks", self.tasks), ("detectors", self.detectors)):
            unknown = sorted(named.keys() - known)
            if unknown:
                raise UsageError(f"{key} names {unknown[0]}, which is no task of the study")
        twice = sorted(self.tasks.keys() & self.detectors.keys())
        if twice:
            raise UsageError(f"tasks and detectors both say what answers {twice[0]}; keep one")
        for card in cards:
            try:
                read_bank_config(*self.bank_of(card, base_grammar))
            except UsageError as error:
                where = f"tasks.{card.name}: " if card.name in self.tasks else ""
                raise UsageError(f"{where}{error}") from None
