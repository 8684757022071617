"""Ten million LLaVA-style JSON lines: seconds to the first example, seconds of the one pass, memory at its peak.

    python benchmarks/llava_records.py --records 10000000 --folder /some/where

The file is written first (about 2.3 GB for ten million), and removed at the end. Each measurement is a process of its
own, with a cache of its own: what is opened, what is asked, and how much resident memory it came to beside that of the
same process before it opened anything.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

CHILD = """
import json, resource, sys, time
from lynx_cl.data.sources import open_source
from lynx_cl.training.batches import shuffled
import lynx_cl.data.instruct, numpy
def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
before, start = peak(), time.monotonic()
source = open_source(sys.argv[1])
example = next(source.examples("train"))
told = {"what": sys.argv[2], "first_example_s": time.monotonic() - start}
if sys.argv[2] != "stream":
    told["pictures"] = {split: len(groups) for split, groups in source.splits.items()}
    told["index_s"] = time.monotonic() - start
    groups = source.groups("train")
    order, start = shuffled(len(groups), 0), time.monotonic()
    for place in order[:2000]:
        groups[int(place)]
    told["ms_an_example_at_random"] = (time.monotonic() - start) / min(2000, len(order)) * 1000
told["peak_mib_above_start"] = peak() - before
print(json.dumps({key: round(value, 3) if isinstance(value, float) else value for key, value in told.items()}))
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=int, default=10_000_000)
    parser.add_argument("--folder", type=Path, default=None, help="where the file is written")
    wanted = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=wanted.folder) as scratch:
        file = write(Path(scratch), wanted.records)
        print(json.dumps({"records": wanted.records, "file_mb": round(file.stat().st_size / 1e6)}))
        environment = {**os.environ, "XDG_CACHE_HOME": str(Path(scratch) / "cache")}
        for what in ("stream", "index", "index again, from the cache"):
            command = [sys.executable, "-c", CHILD, f"llava:{file}", what]
            print(subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout.strip())


def write(folder: Path, records: int) -> Path:
    """A file of so many records about 200 pictures."""
    from PIL import Image

    for number in range(200):
        Image.new("RGB", (8, 8), (number, 0, 0)).save(folder / f"{number:03}.png")
    file = folder / "train.jsonl"
    with file.open("w", encoding="utf-8") as lines:
        for number in range(records):
            turns = [
                {"from": "human", "value": f"<image>\nWhat does picture {number} of this long list show?"},
                {"from": "gpt", "value": f"It shows thing number {number}, seen from the side."},
            ]
            record = {"id": f"{number:012}", "image": f"{number % 200:03}.png", "conversations": turns}
            lines.write(json.dumps(record) + "\n")
    return file


if __name__ == "__main__":
    main()
