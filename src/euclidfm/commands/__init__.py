"""The verbs of the command line: each parses its arguments, calls the library, and prints what was made."""
