"""The processes of one training run: started on this machine, or by torchrun on many; watched, and ended together.

A process that is killed ends the run with one sentence, whichever it was. Where it leaves another waiting in a
collective operation that does not notice (NCCL's can wait for minutes), that one is ended after `GRACE` seconds.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist

from lynx_cl.errors import Interrupted, LynxError, UsageError
from lynx_cl.training.checkpoint import FILE
from lynx_cl.training.config import TrainerSettings
from lynx_cl.training.process import ending_at_once
from lynx_cl.training.ranks import Rank, asked_rank, present_rank

GRACE = 10.0  # seconds that a process has to notice that another is gone
POLL = 0.2  # seconds
PATIENCE = timedelta(hours=6)  # torchrun starts all at once, and rank 0 first scores what is there
LEAD, TERMINAL = "LYNX_CL_LEAD", "LYNX_CL_TERMINAL"  # to a process started here: pid of rank 0, its standard error
NETWORK = ("gloo", "nccl", "tcpstore", "connection", "socket")  # in what torch says when a process cannot be reached


@contextmanager
def joined(settings: TrainerSettings, command: Sequence[str], folder: Path) -> Iterator[Rank]:
    """Within it the processes of a run stand in a group; gives this one's place in it.

    Alone with one device. With more, this process becomes rank 0 and runs `command` once for each other, with the
    environment of torchrun; a process that has that environment already joins the others. `folder` holds what the other
    processes say, and the run's checkpoint.

    Raises UsageError as `placed`, and LynxError in place of what torch raises where another process is gone.
    """
    rank = placed(settings)
    if rank.world == 1:
        yield rank
        return
    external = present_rank().world > 1
    team = _Team([], folder, rank.world) if external else _start(rank, command, folder)
    own = _environment(rank, team.port)
    ends = ending_at_once()
    threads = torch.get_num_threads()
    done = threading.Event()
    try:
        os.environ.update(own)
        if not torch.cuda.is_available() and "OMP_NUM_THREADS" not in os.environ:
            torch.set_num_threads(max(1, threads // rank.beside))
        gone = team.fallen if rank.leads else _lead_is_gone
        threading.Thread(target=_watch, args=(gone, done, team), daemon=True).start()
        _join(rank, team)
        yield rank
        dist.destroy_process_group()
        team.wait()
    except SystemExit:
        raise Interrupted(team.sentence("interrupted")) from None
    except Exception as error:
        if isinstance(error, LynxError) or not _unreachable(error):
            raise
        raise LynxError(team.why(rank, error)) from None
    finally:
        done.set()
        team.end()
        failed = sys.exc_info()[0] is not None
        if ends is not None:
            # where one fails torchrun ends them all, and this one first says why
            signal.signal(signal.SIGTERM, signal.SIG_IGN if failed and external and LEAD not in os.environ else ends)
        torch.set_num_threads(threads)
        for name in own:
            del os.environ[name]


def placed(settings: TrainerSettings) -> Rank:
    """As `asked_rank`; raises UsageError also where this machine has fewer GPUs."""
    rank = asked_rank(settings)
    cards = torch.cuda.device_count()
    if cards and rank.beside > cards:
        raise UsageError(f"trainer.devices={rank.beside}: this machine has {cards} GPUs; give at most that many")
    return rank


def placement(rank: Rank) -> dict[str, Any]:
    """Lightning's settings for a run's processes, which exist already and are in a group."""
    if rank.world == 1:
        return {"devices": 1}
    from lightning.pytorch.plugins.environments import TorchElasticEnvironment
    from lightning.pytorch.strategies import DDPStrategy

    # shares of validation differ in number, so that nothing may be sent in a forward
    strategy = DDPStrategy(cluster_environment=TorchElasticEnvironment(), broadcast_buffers=False)
    return {"devices": rank.beside, "num_nodes": rank.world // rank.beside, "strategy": strategy}


class _Team:
    """The processes that this one started, none where torchrun did."""

    def __init__(self, others: Sequence[subprocess.Popen], folder: Path, world: int, store: dist.Store | None = None):
        self.others, self.folder, self.world, self.store = others, folder, world, store

    @property
    def port(self) -> int | None:
        return getattr(self.store, "port", None)

    def fallen(self) -> str | None:
        """What became of one that ended in any other way than well: rather one that was killed than one that
        complains of that."""
        ended = [(number, other.poll()) for number, other in enumerate(self.others, 1)]
        wrong = sorted((code, number) for number, code in ended if code)
        if not wrong:
            return None
        code, number = wrong[0]
        if code < 0:
            return f"rank {number} of {self.world} was killed by {signal.Signals(-code).name}"
        return f"rank {number} of {self.world} failed: {_last_line(_log(self.folder, number))}"

    def why(self, rank: Rank, error: BaseException) -> str:
        """The sentence for a run that lost one of its processes."""
        until = time.monotonic() + GRACE
        cause = None
        while (self.others or LEAD in os.environ) and cause is None and time.monotonic() < until:
            cause = self.fallen() if rank.leads else _lead_is_gone()
            time.sleep(POLL)
        lines = str(error).strip().splitlines() or [type(error).__name__]
        return self.sentence(cause or f"rank {rank.number} of {rank.world} cannot reach another one ({lines[0]})")

    def sentence(self, cause: str) -> str:
        kept = (self.folder / FILE).exists()
        rest = "the last checkpoint is kept, go on with --resume" if kept else "no checkpoint had been written"
        return f"training: {cause}; {rest}"

    def wait(self) -> None:
        """Until the others have ended, which they do now."""
        until = time.monotonic() + GRACE
        while any(other.poll() is None for other in self.others) and time.monotonic() < until:
            time.sleep(POLL / 10)

    def end(self) -> None:
        """Ends what still runs: a process that is no lead holds nothing that is not lost anyway."""
        for number, other in enumerate(self.others, 1):
            if other.poll() is None:
                other.kill()
            other.wait()
            _log(self.folder, number).unlink(missing_ok=True)


def _start(rank: Rank, command: Sequence[str], folder: Path) -> _Team:
    """Starts the other processes of this machine, in sessions of their own: Ctrl-C is rank 0's affair."""
    store = dist.TCPStore("127.0.0.1", 0, rank.world, True, wait_for_workers=False, timeout=PATIENCE)
    folder.mkdir(parents=True, exist_ok=True)
    others = []
    for number in range(1, rank.world):
        other = Rank(number, rank.world, number, rank.beside)
        own = {LEAD: str(os.getpid()), TERMINAL: str(sys.__stderr__.fileno() if sys.__stderr__ else 2)}
        with _log(folder, number).open("wb") as log:
            terminal = int(own[TERMINAL])
            spare = os.dup(terminal)
            try:
                others.append(
                    subprocess.Popen(
                        command,
                        env={**os.environ, **_environment(other, store.port), **own, TERMINAL: str(spare)},
                        stdin=subprocess.DEVNULL,
                        stdout=subprocess.DEVNULL,
                        stderr=log,
                        pass_fds=(spare,),
                        start_new_session=True,
                    )
                )
            finally:
                os.close(spare)
    return _Team(others, folder, rank.world, store)


def _environment(rank: Rank, port: int | None) -> dict[str, str]:
    """What torchrun would set for a process started here; nothing where it did."""
    if port is None:
        return {}
    return {
        "RANK": str(rank.number),
        "WORLD_SIZE": str(rank.world),
        "LOCAL_RANK": str(rank.local),
        "LOCAL_WORLD_SIZE": str(rank.beside),
        "GROUP_RANK": "0",
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
    }


def _join(rank: Rank, team: _Team) -> None:
    """Makes the group. Raises LynxError where a process that was started here ends before it has joined."""
    backend = "gloo"
    if torch.cuda.is_available():
        torch.cuda.set_device(rank.local)
        backend = "cpu:gloo,cuda:nccl"
    if LEAD not in os.environ and team.store is None:
        dist.init_process_group(backend, timeout=PATIENCE)
        return
    store = team.store
    if store is None:
        store = dist.TCPStore(
            os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"]), rank.world, False, timeout=PATIENCE
        )
    store.set(f"here/{rank.number}", "")
    while rank.leads and not store.check([f"here/{number}" for number in range(rank.world)]):
        cause = team.fallen()
        if cause is not None:
            raise LynxError(team.sentence(cause))
        time.sleep(POLL)
    group = dist.PrefixStore("group", store)
    dist.init_process_group(backend, store=group, rank=rank.number, world_size=rank.world, timeout=PATIENCE)


def _watch(gone: Callable[[], str | None], done: threading.Event, team: _Team) -> None:
    """Ends this process where another is gone and the main thread, given time, has not noticed."""
    while not done.wait(POLL):
        cause = gone()
        if cause is not None and not done.wait(GRACE):
            print(f"lynx-cl: {team.sentence(cause)}", file=sys.stderr, flush=True)
            for other in team.others:
                other.kill()
            os._exit(1)


def _lead_is_gone() -> str | None:
    """For a process that rank 0 started, when that is no longer there: the terminal is then its own again."""
    if os.environ.get(LEAD) in (None, str(os.getppid())):
        return None
    if os.environ.get("LOCAL_RANK") == "1":  # one speaks for all
        os.dup2(int(os.environ[TERMINAL]), 2)
    return f"rank 0 of {os.environ['WORLD_SIZE']} was killed"


def _unreachable(error: BaseException) -> bool:
    """Whether torch says that another process cannot be reached."""
    known = isinstance(error, dist.DistError)
    return known or (isinstance(error, RuntimeError) and any(sign in str(error).lower() for sign in NETWORK))


def _log(folder: Path, number: int) -> Path:
    return folder / f"rank-{number}.log"


def _last_line(path: Path) -> str:
    lines = path.read_text(errors="replace").strip().splitlines()
    return lines[-1].removeprefix("lynx-cl: ").removeprefix("training: ") if lines else "it said nothing"
