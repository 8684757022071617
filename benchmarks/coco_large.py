"""A COCO file of a gigabyte: seconds to read it, memory at its peak beside that of the same process before.

    python benchmarks/coco_large.py --megabytes 1000 --folder /some/where

Annotations carry outlines, as COCO's do, which make up most of the file. `json.load` of the same file is measured after
it with --beside, for which the machine needs some ten times the file in memory.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
import tempfile
from pathlib import Path

CHILD = """
import json, resource, sys, time
from pathlib import Path
from lynx_cl.data.instances import read_instances
import numpy
def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
before, start = peak(), time.monotonic()
if sys.argv[2] == "json.load":
    with open(sys.argv[1]) as file:
        things = len(json.load(file)["annotations"])
else:
    things = len(read_instances(Path(sys.argv[1])).numbers)
print(json.dumps({"how": sys.argv[2], "annotations": things, "seconds": round(time.monotonic() - start, 1),
                  "peak_mib_above_start": round(peak() - before)}))
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--megabytes", type=int, default=1000)
    parser.add_argument("--folder", type=Path, default=None, help="where the file is written")
    parser.add_argument("--beside", action="store_true", help="measure json.load as well")
    wanted = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=wanted.folder) as scratch:
        file = write(Path(scratch) / "instances_train.json", wanted.megabytes * 1_000_000)
        print(json.dumps({"file_mb": round(file.stat().st_size / 1e6)}))
        for how in ("streamed", *(("json.load",) if wanted.beside else ())):
            done = subprocess.run(
                [sys.executable, "-c", CHILD, str(file), how], check=True, capture_output=True, text=True
            )
            print(done.stdout.strip())


def write(file: Path, size: int) -> Path:
    """A file of about `size` bytes: eight annotations a picture, each with an outline of about 30 points."""
    rng = random.Random(0)
    image = 0
    with file.open("w") as out:
        out.write('{"info": {}, "licenses": [], "annotations": [')
        while out.tell() < size:
            image += 1
            for thing in range(8):
                outline = [round(rng.uniform(0, 640), 2) for _ in range(60)]
                record = {"segmentation": [outline], "area": 1234.5, "iscrowd": 0, "image_id": image}
                box = [round(rng.uniform(0, 300), 2) for _ in range(4)]
                record |= {"bbox": box, "category_id": 1 + thing, "id": 8 * image + thing}
                out.write(("" if image == 1 and thing == 0 else ", ") + json.dumps(record))
        out.write('], "images": [')
        for number in range(1, image + 1):
            record = {"license": 4, "file_name": f"{number:012}.jpg", "height": 480, "width": 640, "id": number}
            out.write((", " if number > 1 else "") + json.dumps(record))
        names = ", ".join(json.dumps({"supercategory": "s", "id": i, "name": f"c{i}"}) for i in range(1, 9))
        out.write(f'], "categories": [{names}]}}')
    return file


if __name__ == "__main__":
    main()
