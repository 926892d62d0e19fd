"""How well pages compress: sizes under every codec and granule; only sizes leave this package."""
