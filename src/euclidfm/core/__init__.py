"""What everything else stands on: bands, errors, files, progress, expressions."""
