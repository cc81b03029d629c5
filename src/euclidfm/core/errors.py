"""Errors that a user can cause, and how they end the program.

`InputError` is for bad input: one clear sentence that names the file, the row
and the remedy. The command line prints it on stderr and exits with 2; anything
else is an internal error and exits with 1.
"""

from __future__ import annotations

__all__ = ["InputError"]


class InputError(ValueError):
    """Bad usage or bad input; the message is one sentence with its remedy."""
