"""Methods of continual learning, one file each; `lynx_cl.continual.method` says what a method is."""
