"""Errors the user can fix."""


class UserError(ValueError):
    """A mistake in what was given. Its message says, in one line, what is wrong, the value
    received, what is accepted and what to do next."""
