"""Stage 1 of an add: every mistake a user can make is caught here, before anything heavy is imported."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lynx_cl.base.card import BaseCard, find_base, read_card
from lynx_cl.base.places import base_of
from lynx_cl.continual.config import DEFAULT_KIND, AddConfig, read_config
from lynx_cl.continual.gates import Gates
from lynx_cl.continual.outside import KIND, bank_settings, detector_name
from lynx_cl.data.annotators import Labels, check_shared, labels_told
from lynx_cl.data.readers import absolute
from lynx_cl.data.sources import DataSource, open_source
from lynx_cl.errors import LynxError, UsageError
from lynx_cl.home import Home
from lynx_cl.registry.store import Registry
from lynx_cl.tasks import TaskCard, load_card
from lynx_cl.training.ranks import asked_rank

if TYPE_CHECKING:
    from lynx_cl.data.grammar import BoxGrammar
    from lynx_cl.registry.views import TaskVersion


@dataclass(frozen=True)
class Plan:
    """What an add will do: all of it checked, nothing of it done."""

    home: Home
    registry: Registry
    card: TaskCard
    spec: str
    source: DataSource
    base: str
    base_card: BaseCard
    kind: str
    config: AddConfig
    command: str
    update: bool = False
    anew: bool = False  # of an update: starts from the base; else the bank starts as the present one, in all its shape
    gates: Gates = Gates()
    adapter: Path | None = None  # a PEFT LoRA that is taken for the bank as it is
    annotators: tuple[str, ...] = ()  # of the labels that the bank learned from before: an update's, a detector's

    @property
    def labels(self) -> Labels:
        """Whose labels the bank will have learned from, and is tested on."""
        own = self.source.labels
        learns = own.trained if self.kind != KIND else ()
        return replace(own, trained=tuple(dict.fromkeys((*self.annotators, *learns))))

    @property
    def bank_settings(self) -> dict[str, Any]:
        """The settings of the bank, with what it must know of the task."""
        return bank_settings(self.kind, self.config.bank.get(self.kind, {}), self.card, self.base_card.grammar)

    @property
    def grammar(self) -> BoxGrammar:
        """How the task's boxes are written."""
        return self.card.box_grammar(self.base_card.grammar)

    @property
    def run_dir(self) -> Path:
        """Where this task's unfinished training lies."""
        return self.home.checkpoints / self.card.name


def make_plan(
    home: Home,
    task: str,
    *,
    data: str | None,
    base: str | None,
    kind: str | None,
    overrides: Sequence[str] = (),
    file: Path | None = None,
    update: bool = False,
    anew: bool = False,
    gates: Gates | None = None,
    adapter: Path | None = None,
    allow_shared: bool = False,
) -> Plan:
    """Resolves names and checks settings, data and home.

    With `update` the task must be in the registry: its next version is planned, on the data and with the kind of bank
    that the present one has unless told otherwise, from its weights unless `anew`. `base` None is the registry's own.
    With `allow_shared` a task may be scored on labels of a model that it learned from.

    Raises UsageError for an unknown task, source, base, bank kind or setting, and LynxError for data that is broken, a
    task that is there already, one whose score would be of shared labels, and a home that cannot be written.
    """
    config = read_config(overrides, file)
    asked_rank(config.trainer)
    card = load_card(task, home)
    registry = Registry(home.registry)
    if not update and card.name in registry.tasks():
        raise LynxError(
            f"task '{card.name}' is in {registry.path} already; 'lynx-cl update-task {card.name}' trains a new version"
        )
    if update:
        present = registry.task(card.name)
        kind, data = kind or present.manifest.kind, data or present.record.source
        if not anew and kind != present.manifest.kind:
            raise UsageError(
                f"task '{card.name}' has a {present.manifest.kind} bank; a {kind} bank cannot start from it: add --anew"
            )
        if not anew:
            _check_shape(present, config)
    if adapter is not None:
        adapter = adapter.expanduser()
        if not (adapter / "adapter_config.json").is_file():
            raise UsageError(f"{adapter}: no adapter_config.json; give a folder that PEFT's save_pretrained wrote")
        if kind not in (None, "lora"):
            raise UsageError(f"--adapter gives a lora bank, not a {kind} one; leave --bank out")
        kind = "lora"
    kind = kind or DEFAULT_KIND
    _check_kind(kind, config)
    spec = data or card.source
    if spec is None:
        raise UsageError(f"task '{card.name}' names no data source of its own; give one with --data")
    base = base or base_of(registry)
    place = find_base(base)
    base_card = read_card(place) if isinstance(place, Path) else BaseCard(name=str(place))
    spec = absolute(spec)
    source = open_source(spec, card, seed=config.data.seed, limit=config.data.limit, base_grammar=base_card.grammar)
    if base_card.device_map != "none" and asked_rank(config.trainer).world > 1:
        raise UsageError(
            f"base {base_card.name}: its card spreads it (device_map: {base_card.device_map}), so one process trains; "
            "leave out trainer.devices, or set device_map: none"
        )
    annotators: tuple[str, ...] = ()
    if update and not anew:
        annotators = labels_of(present).trained
    elif kind == KIND:
        annotators = (detector_name(config.bank.get(KIND, {})),)
    home.ensure_writable()
    command = "update-task" if update else "add-task"
    plan = Plan(
        home,
        registry,
        card,
        spec,
        source,
        base,
        base_card,
        kind,
        config,
        command,
        update=update,
        anew=anew,
        gates=gates or Gates(),
        adapter=adapter,
        annotators=annotators,
    )
    if not (update and not anew):
        _ = plan.bank_settings
    others = (labels_of(registry.task(name)) for name in registry.tasks() if name != card.name)
    check_shared([plan.labels, *others], allow_shared)
    return plan


def labels_of(version: TaskVersion) -> Labels:
    """Whose labels the bank of a version learned from, those that it started from included, and is tested on."""
    return labels_told(version.task, version.manifest.data)


def _check_shape(present: TaskVersion, config: AddConfig) -> None:
    """A bank that starts from the present one has its shape. Raises UsageError where the settings ask for another."""
    kind, task, shape = present.manifest.kind, present.task, present.manifest.bank_config
    defaults = read_config()
    wanted, usual = config.bank.get(kind, {}), defaults.bank.get(kind, {})
    for key, value in wanted.items():
        if value != usual.get(key) and value != shape.get(key):
            raise UsageError(
                f"task '{task}': its bank has {key} {shape.get(key)}; for bank.{kind}.{key}={value}, add --anew"
            )
    if config.taps != defaults.taps:
        raise UsageError(f"task '{task}': its bank keeps its taps; to set taps.every, add --anew")


def _check_kind(kind: str, config: AddConfig) -> None:
    """Bank kinds are files; their settings are checked when torch is there, their names before."""
    import lynx_cl.banks

    folder = Path(lynx_cl.banks.__file__).parent
    known = sorted(path.stem for path in folder.glob("*.py") if "@bank_kind(" in path.read_text(encoding="utf-8"))
    for name in (kind, *config.bank):
        if name not in known:
            raise UsageError(f"bank kind '{name}' is unknown; known: {', '.join(known)}")
