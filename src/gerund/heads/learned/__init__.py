"""Heads that are learned over epochs, in torch."""
