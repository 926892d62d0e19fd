"""Figures and tables for print: those of the notebooks and of the README, made again and compared with what is kept."""
