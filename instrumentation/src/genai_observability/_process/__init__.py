"""The life of the process: the background thread, forked children, signals, files."""
