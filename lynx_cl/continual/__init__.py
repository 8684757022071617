"""Tasks one after another: what happens at an add, and what is measured across adds."""
