"""Expert banks: their kinds (one file each), and where they act in a base (`attach.py`)."""
