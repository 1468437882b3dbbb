"""The error that a user can correct."""


class UserError(Exception):
    """A mistake in input, settings or surroundings. Its text is one sentence: what is wrong and what to do."""
