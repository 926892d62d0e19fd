"""Models of other people's papers, small enough to read: what each notebook from 12 on reproduces.

Each model has a plain form in ``reference``, one job or request at a time, that the array form is held to. They know
nothing of vswaplab's own machine: inputs and results are numpy arrays.
"""
