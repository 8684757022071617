"""SCouT on pictures of your own: an annotator labels them, doubtful labels are refused, questions made.

`build.py` runs it, `source.py` reads what it wrote. Models that label are in `lynx_cl/continual/labellers.py`.
"""
