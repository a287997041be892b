"""Jobs that are started by hand."""
