"""Many runs: the design of an experiment, its directory, the processes that share it out, work that was done before."""
