"""Training one bank on a frozen base: step loss, LightningModule, checkpoints, feature cache."""
