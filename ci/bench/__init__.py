"""Speed measured against PyTorch and against NumPy written by hand; `python -m ci.bench --help` tells how."""
