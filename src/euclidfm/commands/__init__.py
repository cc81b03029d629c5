"""The commands: thin typed functions that call the library, print what was made, and return it."""
