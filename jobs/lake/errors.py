"""The one error that a user can mend."""


class UserError(Exception):
    """A mistake in input, settings or surroundings: one sentence that names it and says what to do."""
