"""Sources: what each kind of input (sky, service, data set, cutout files, table) becomes as work units."""
