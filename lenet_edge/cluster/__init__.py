"""The connection to a running Dask cluster, whatever its workers are given to do."""
