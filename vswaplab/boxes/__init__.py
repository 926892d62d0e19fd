"""Running Linux boxes: what /proc and /sys show of one, as a machine that starts from it."""
