"""Predicts which items a user acts on next."""
