"""Entry points for `ray job submit`: the verbs of the command line, on the cluster that runs the job."""
