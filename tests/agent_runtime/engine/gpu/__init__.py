"""The kernels, in Triton's interpreter where there is no GPU (`tests/conftest.py`)."""
