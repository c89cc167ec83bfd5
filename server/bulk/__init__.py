"""Many pictures at once: which digit is each, and why, as tables in a folder.

Pictures come from a source (sources/) and are divided into shards of some hundred rows. A worker (worker.py) explains
one shard after the other; run.py keeps which of them are there, so that a run that was killed goes on. processes.py has
the workers in processes of this machine, on_ray.py on a cluster. jobs.py runs what came over HTTP, and report/ tells
what all of it says.

Must not know HTTP. Read run.py first.
"""
