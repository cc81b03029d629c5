"""What everything else stands on: bands, errors, files, tables, ids, records, progress, expressions."""
