"""The error of somebody who can mend it."""


class UserError(ValueError):
    """A mistake in what was given: its message says what is wrong, the value received,
    what is accepted and what to do next, in one line."""
