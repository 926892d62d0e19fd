"""What every layer may know: units, the words for where data is, errors, paths."""
