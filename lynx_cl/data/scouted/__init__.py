"""SCouT on pictures of your own: an annotator labels them, filters refuse what is doubtful, questions are made of the rest.

`build.py` runs it, `source.py` reads what it wrote. Models that label are in `lynx_cl/continual/labellers.py`.
"""
