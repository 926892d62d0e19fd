"""The benchmark suite behind ``speed.py``: streams, peers, measurements, tables."""
