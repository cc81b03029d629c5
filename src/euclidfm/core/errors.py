"""The error for mistakes of a user.

The command line prints an `InputError` on stderr and exits with 2. Other errors are internal and exit with 1.
"""

from __future__ import annotations

import re

__all__ = ["InputError"]


class InputError(ValueError):
    """Bad usage or bad input. The message is one sentence that names the file, the row and the remedy.

    Line breaks become spaces, since messages often quote those of other packages (such as pyarrow's).

    Parameters
    ----------
    message : str
    """

    def __init__(self, message: str = "") -> None:
        super().__init__(re.sub(r"\s*[\r\n\v\f]\s*", " ", str(message)))
