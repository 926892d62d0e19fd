"""Memory images: what the pages of a file, a core dump or a running process hold, as a corpus and in numbers."""
