"""Does adapting help? The parts of benchmarks/accuracy.py, which says how to use them."""
