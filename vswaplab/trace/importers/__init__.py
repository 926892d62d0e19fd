"""Files of other programs, read as traces: each format is a function from a stream of bytes to touches of pages."""
