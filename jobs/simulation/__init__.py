"""Simulated logs for the demo and for tests."""
