"""What came out of a run, as tables: counters, the result and its provenance."""
