"""`convtrial COMMAND ...`, which is `python -m pipeline.COMMAND ...` by a shorter name."""

import importlib
import sys

from pipeline.beginning import begin

# In the order in which a user meets them, as CONTRIBUTING has them.
COMMANDS = {
    "init": "a project of your own, laid out: sample photos, a question, all that it takes to run",
    "prepare": "the data, as training reads it: what is in it, and what is wrong with it",
    "plan": "what would be trained, layer by layer or arm by arm, before any time is spent",
    "train": "one run, or with -m a sweep and its verdict",
    "evaluate": "the metrics of a finished run's checkpoint again, and its invariance",
    "compare": "the verdict of a sweep, or of any table of results",
    "claims": "what became of every claim of the sweeps below a folder",
    "sync": "send to MLflow what it missed",
}


def main() -> None:
    """Do what the first word names with the rest of the line."""
    begin()
    from pipeline import environment, terminal
    from pipeline.errors import nearest

    name = sys.argv[1] if len(sys.argv) > 1 else "--help"
    if name in COMMANDS:
        sys.argv[:2] = [f"{sys.argv[0]} {name}"]
        importlib.import_module(f"pipeline.{name}").main()
    elif name in ("--help", "-h"):
        print("convtrial init FOLDER\nconvtrial COMMAND [key=value ...] [group=name ...] [-m key=a,b,c ...]\n")
        print("\n".join(f"  {command:9} {what}" for command, what in COMMANDS.items()))
        print("\nconvtrial COMMAND --help shows the keys of each.")
    elif name == "--version":
        print(environment.described())
    else:
        terminal.say(f"error: {name}: no such command.{nearest(name, COMMANDS)} Commands: {', '.join(COMMANDS)}.")
        sys.exit(2)


if __name__ == "__main__":
    main()
