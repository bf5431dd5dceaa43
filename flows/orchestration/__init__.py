"""When and where work is done: the steps of a month in order.

They are plain calls or Prefect tasks, here or on a Dask cluster. Here are also the deployments, `serve`, what a run's
page shows, and who is told of a failure.
"""
