"""Sources: what each kind of input (sky, service, data set, cutouts, table) becomes as a plan of tasks."""
