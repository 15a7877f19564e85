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
    "evaluate": "how a finished run fails and why, what it stands, its metrics again; where two runs differ",
    "compare": "the verdict of a sweep, or of any table of results",
    "claims": "what became of every claim of the sweeps below a folder",
    "predict": "the classes and probabilities of images that nobody has labelled",
    "export": "a trained network for other programs: an ONNX file, or a registered MLflow model",
    "dashboard": "open MLflow on a sweep: its question, its verdict and its runs",
    "sync": "send to MLflow what it missed",
}


def main() -> None:
    """Do what the first word names with the rest of the line."""
    begin()
    name = sys.argv[1] if len(sys.argv) > 1 else "--help"
    if name in COMMANDS:
        sys.argv[:2] = [f"{sys.argv[0]} {name}"]
        if name == "train":
            from pipeline.sweep import server

            server.start_early()
        importlib.import_module(f"pipeline.{name}").main()
    elif name == "completion":
        from pipeline import completion

        sys.exit(completion.main(sys.argv[2:], COMMANDS))
    elif name in ("--help", "-h"):
        print("convtrial init FOLDER\nconvtrial COMMAND [key=value ...] [group=name ...] [-m key=a,b,c ...]\n")
        print("\n".join(f"  {command:10} {what}" for command, what in COMMANDS.items()))
        print("  completion a script that completes all this at a shell: source <(convtrial completion bash)")
        print("\nconvtrial COMMAND --help shows the keys of each: what they mean, what they may be.")
    elif name == "--version":
        from pipeline import environment

        print(environment.described())
    else:
        from pipeline import terminal
        from pipeline.errors import nearest

        names = (*COMMANDS, "completion")
        what = "no such command" if not name.startswith("-") else "a command comes first"
        terminal.say(f"error: {name}: {what}.{nearest(name, names)} Commands: {', '.join(names)}.")
        sys.exit(2)


if __name__ == "__main__":
    main()
