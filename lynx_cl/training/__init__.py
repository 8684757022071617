"""Training one bank on a frozen base, or a part of a model: step loss, LightningModules, checkpoints, feature cache."""
