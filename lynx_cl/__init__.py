"""Lynx-CL: vision-language models that learn new tasks by growing frozen expert banks, and forget nothing."""

import logging

__version__ = "0.1.0"

# What they say when they are imported, on every machine without a GPU, is of kernels that nothing here needs; and
# accelerate says at each load that a base lies where its card spreads it to.
for _notices in ("torchao", "bitsandbytes", "torch.utils._pytree", "accelerate.big_modeling"):
    logging.getLogger(_notices).setLevel(logging.ERROR)
