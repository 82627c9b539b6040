"""What `benchmarks/reproduce_emulators.py` compares calibrations with many losses by."""
