"""Lynx-CL: vision-language models that learn new tasks by growing frozen expert banks, and forget nothing."""

__version__ = "0.1.0"
