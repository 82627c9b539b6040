"""Checks of an answer: can it be trusted, and does the model fit at all."""
