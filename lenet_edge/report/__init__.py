"""The report of a run, one HTML file, and the sheet of samples of a data set.

One report's way: `findings` (what the run holds, and what is measured anew) -> `sections` and `files`, its parts, drawn
by `charts`, `matrix`, `bars` and `pictures`, built of `blocks` and `markup` -> `page`.
"""
