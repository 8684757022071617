"""`python -m lynx_cl`: the same as the command `lynx-cl`."""

import sys

from lynx_cl.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
