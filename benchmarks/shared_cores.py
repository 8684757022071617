"""Training on cores that others use too: steps a second by how long threads spin while they wait for each other.

    python benchmarks/shared_cores.py --seconds 15

Steps of full fine-tuning of the decoder of nano on texts, alone and beside as many busy processes as there are cores.
'long' is what GNU's OpenMP, which torch computes with on Linux, does by itself (GOMP_SPINCOUNT=300000); 'short' is what
the commands of Lynx-CL set where nothing else is asked for; 'none' is OMP_WAIT_POLICY=passive. Rounds are interleaved.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys

from lynx_cl.cli.cores import POLICY, SPIN, SPINS_BEFORE_SLEEP

SPINS = {"long": {"GOMP_SPINCOUNT": "300000"}, "short": {SPIN: SPINS_BEFORE_SLEEP}, "none": {POLICY: "passive"}}
CHILD = """
import sys, time
import torch
from lynx_cl.base.load import load_base
model = load_base("nano").model.requires_grad_(True)
torch.manual_seed(0)
texts = torch.randint(10, 200, (24, 120))
def step():
    model.zero_grad()
    model(input_ids=texts).logits.float().square().mean().backward()
step()
begun, steps = time.monotonic(), 0
while time.monotonic() - begun < float(sys.argv[1]):
    step()
    steps += 1
print(steps / (time.monotonic() - begun))
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=15.0, help="of each measurement")
    parser.add_argument("--rounds", type=int, default=3, help="of measurements; the mean is told")
    wanted = parser.parse_args()
    cores = len(os.sched_getaffinity(0))
    for busy in (0, cores):
        neighbours = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(busy)]
        rates = dict.fromkeys(SPINS, 0.0)
        try:
            for _ in range(wanted.rounds):
                for name, more in SPINS.items():
                    rates[name] += steps_per_second(wanted.seconds, **more) / wanted.rounds
        finally:
            for one in neighbours:
                one.kill()
                one.wait()
        told = {f"{name}_steps_per_s": round(rate, 2) for name, rate in rates.items()}
        ratios = {f"{name}_to_long": round(rates[name] / rates["long"], 2) for name in SPINS if name != "long"}
        print(json.dumps({"cores": cores, "busy_processes": busy, **told, **ratios}), flush=True)


def steps_per_second(seconds: float, **more: str) -> float:
    """Of a process of its own, in an environment of its own."""
    others = {key: value for key, value in os.environ.items() if key not in (POLICY, SPIN)}
    done = subprocess.run(
        [sys.executable, "-c", CHILD, str(seconds)], env={**others, **more}, check=True, capture_output=True, text=True
    )
    return float(done.stdout)


if __name__ == "__main__":
    main()
