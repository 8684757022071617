"""Answering in batches, and scoring the answers."""
