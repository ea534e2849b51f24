"""Errors the user can fix."""

from collections.abc import Sequence


class UserError(ValueError):
    """A mistake in what was given. Its message says, in one line, what is wrong, the value
    received, what is accepted and what to do next."""


def printable(text: object) -> str:
    """A path, or words out of a file, for a terminal: in one line, and without the codes that steer
    it."""
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode()
        for character in str(text)
    )


def few(words: Sequence[str]) -> str:
    """The first five, printable, for a line that names some of many."""
    return printable(", ".join(words[:5])) + ", ..." * (len(words) > 5)
