"""Runs in MLflow, and the figures that go with them."""
