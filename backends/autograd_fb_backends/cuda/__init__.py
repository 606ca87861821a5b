"""Hand-written CUDA kernels: one table of sources, what launches them, and the rows of the operator table they serve.

Nothing here imports an array library. `table.py` says what a kernel is; the modules beside it hold the sources by
family; `launch.py` compiles and starts them through CuPy; `rows.py` puts them in the place of shared kernels.
"""
