"""What is run on the road."""

LINE = "data.limit_train=128 trainer.max_epochs=3 trainer.threads=1 architecture.filters=[4,8] optimizer.lr=0.02"
FACTORS = "architecture.kernel_size=3,5 architecture.head=flatten,gap seed=0,1"
SINGLE = f"{LINE} seed=9"  # none of those of the sweep, which would take it
SWEEP = f"-m {LINE} {FACTORS} experiment.name=road"
