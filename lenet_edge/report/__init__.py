"""The report of a run, one HTML file, and the sheet of samples of a data set.

One report's way: `findings` (what the run holds and what is measured anew) -> `sections`, drawn by `charts`, `matrix`,
`bars` and `pictures` with `markup` -> `page`.
"""
