"""What `benchmarks/reproduce_measles.py` compares calibrations of the measles chain by."""
