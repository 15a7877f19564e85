"""`convtrial completion bash|zsh|fish`: a script that completes commands, flags, groups, keys and values at a shell.

    source <(convtrial completion bash)    # or zsh
    convtrial completion fish | source

The script asks this module at each Tab, with the line up to the cursor. Files of conf/ and --config-dir are listed and
read as text, dataclasses are asked (options.py); no configuration is composed. Whatever goes wrong, nothing is offered.
"""

import itertools
import os
import re
import shlex
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline import environment, groups, terminal
from pipeline.directories import find_directories
from pipeline.errors import nearest

if TYPE_CHECKING:
    from pipeline.options import Option

Offer = tuple[str, str]  # a text that the word may become, and what it means

SHELLS = ("bash", "zsh", "fish")
OPEN = ("=", ".", ",", "/")  # after a text that ends so, the word goes on
MOST = 1000  # files of a folder, runs
WIDTH = 72  # characters of what a text means


def main(words: Sequence[str], commands: Mapping[str, str]) -> int:
    """Print the script for a shell, or what it may complete: `bash LINE PIECE`, `zsh WORD...`, `fish WORD...`.

    The last word is the one that is being typed. Returns an exit code; `commands` are ours, with what each does.
    """
    shell, *typed = words or ("",)
    if shell not in SHELLS:
        allowed = f"must be one of {', '.join(SHELLS)}.{nearest(shell, SHELLS)}"
        named = f"completion {shell}".rstrip()
        terminal.say(f"error: {named}: {allowed} As in: source <(convtrial completion bash)")
        return 2
    if not typed:
        print(script(shell), end="")
        return 0
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # numpy would start threads, which takes 30 ms
    try:
        if shell == "bash":
            line, piece = typed
            found = _for_bash([text for text, _ in offers(split(line), commands)], line, piece)
        else:
            if shell == "fish":  # gives the word as it is typed
                typed[-1] = split(typed[-1])[-1] if typed[-1] else ""
            shown = [(text, _short(said)) for text, said in offers(typed, commands)]
            found = _for_zsh(shown) if shell == "zsh" else ["\t".join(one) for one in shown]
        print("\n".join(found))
    except Exception:  # at a prompt there is nobody to tell
        pass
    return 0


def offers(words: Sequence[str], commands: Mapping[str, str]) -> list[Offer]:
    """What the last of the words of a line may become. Nothing where the line is no command of ours."""
    *before, word = _after_program(list(words)) or ("", "")
    if word.startswith("pipeline.") and before == ["-m"]:
        return _beginning(((f"pipeline.{name}", said) for name, said in commands.items()), word)
    if before == [""]:
        return []
    if not before:
        ours = {**commands, "completion": "a script that completes at a shell", "--help": "", "--version": ""}
        return _beginning(ours.items(), word)
    command, *before = before
    if command == "completion":
        return _beginning(((shell, "") for shell in SHELLS), word) if not before else []
    return _Line(command, before).offers(word) if command in commands else []


def split(line: str) -> list[str]:
    """The words of a line up to the cursor, as a shell reads them; the last one, which may be empty, goes on."""
    end = _still_open(line)
    words = shlex.split(line.removesuffix("\\") if end == "\\" else line + end)
    return [*words, ""] if not words or (not end and re.search(r"(?<!\\)\s$", line)) else words


def _still_open(line: str) -> str:
    """The quote, or the backslash, that the line ends in; empty where it ends in none."""
    for end in ("", "'", '"'):
        try:
            shlex.split(line + end)
        except ValueError:
            continue
        return end
    return "\\"


def _after_program(words: list[str]) -> list[str] | None:
    """The words behind `convtrial` or `python -m pipeline`; behind `python`, where the module is still typed."""
    for at, word in enumerate(words[:-1]):
        name = os.path.basename(word)
        if name == "convtrial":
            return words[at + 1 :]
        if re.fullmatch(r"python[\d.]*", name) and "-m" in words[at + 1 : -1]:
            module = words.index("-m", at + 1) + 1
            if module == len(words) - 1:
                return ["-m", words[module]]
            if words[module] == "pipeline":
                return words[module + 1 :]
            if words[module].startswith("pipeline."):
                return [words[module].removeprefix("pipeline."), *words[module + 1 :]]
    return None


class _Line:
    """What has been typed of a command, in so far as it decides what may follow."""

    def __init__(self, command: str, before: Sequence[str]) -> None:
        self.command, self.before = command, before
        self.typed = dict(word.lstrip("+~").split("=", 1) for word in before if "=" in word)
        named = [two for one, two in itertools.pairwise(before) if one in ("--config-dir", "-cd")]
        named += [value for flag, value in self.typed.items() if flag == "--config-dir"]
        self.folders = [Path(name).expanduser() for name in named if name]

    def offers(self, word: str) -> list[Offer]:
        """What `word` may become."""
        flag = self.before[-1] if self.before else ""
        if word.startswith("--") and "=" in word:
            flag, _, value = word.partition("=")
            return [(f"{flag}={text}", said) for text, said in self._of_flag(flag, value) or ()]
        if (of_flag := self._of_flag(flag, word)) is not None:
            return of_flag
        if word.startswith("-"):
            from pipeline import cli

            return _beginning(((flag, does) for names, does in cli.flags().items() for flag in names.split(", ")), word)
        sign = re.match(r"[+~]*", word)[0]  # type: ignore[index]
        key, equals, value = word.removeprefix(sign).partition("=")
        if equals:
            return [(f"{sign}{key}={text}", said) for text, said in self._values(key, value)]
        if {"--help", "-h"} & {*self.before}:  # which tells of keys and sections by their names
            return list({text.rstrip("=."): said for text, said in self._keys(key)}.items())
        return [(sign + text, said) for text, said in self._keys(key)]

    def _of_flag(self, flag: str, value: str) -> list[Offer] | None:
        """The values of a flag that takes some; None for any other."""
        if flag in ("--config-dir", "-cd"):
            return _files(value, folders_alone=True)
        if flag in ("--cfg", "-c"):
            return _beginning((("job", "ours"), ("hydra", "Hydra's own"), ("all", "both")), value)
        return [] if flag in ("--package", "-p") else None

    def _keys(self, typed: str) -> list[Offer]:
        """Groups and keys that begin so, up to their next dot; else the keys whose last part does."""
        from pipeline import options

        found = {f"{group}=": f"{', '.join(groups.choices(group, self.folders))}" for group in self._groups()}
        keys = {f"{one.key}=": one.meaning for one in self._options()}
        keys |= {f"{key}=": "" for key in options.of_launcher(self._launcher(), self.folders) if self._groups()}
        found |= {text: said for text, said in _levels(keys.items(), typed, ".")}
        return _beginning(found.items(), typed) or [
            (key, said) for key, said in keys.items() if typed and key.rpartition(".")[2].startswith(typed)
        ]

    def _values(self, key: str, value: str) -> list[Offer]:
        """What a key or group may be, behind the last comma where it is swept or a list."""
        stem, piece = re.fullmatch(r"(.*[,\[])?(.*)", value).groups("")  # type: ignore[union-attr]
        if key in self._groups():
            files = groups.choices(key, self.folders)
            return _others(((name, groups.headline(path)) for name, path in files.items()), stem, piece)
        one = next((one for one in self._options() if one.key == key), None)
        if one is None:
            return []
        if one.words:
            begun = stem if stem or not one.is_list else "["
            return _others(((word, "") for word in one.words), begun, piece)
        if key in ("run", "sweep"):
            latest = [("latest", "the one begun last")] if key == "sweep" else []
            known = itertools.islice(self._directories(f"{key}.json"), MOST)
            found = _beginning(latest, value) + _levels(((str(path), "") for path in known), value, "/")
            return found or _files(value, folders_alone=True)
        return _files(value) if one.is_text else []

    def _options(self) -> "list[Option]":
        """The keys of the command under the groups that were chosen."""
        from pipeline import options

        kinds = {groups.schema(name, self.folders) or "cnn" for name in self._chosen("architecture") or ["cnn"]}
        inner = {"pretrain": {"source": "digits"} if self._chosen("data@transfer.pretrain") else None}
        found: dict[str, Option] = {}
        for kind in sorted(kinds):
            values = {"architecture": {"type": kind}, "transfer": inner}
            found |= {one.key: one for one in options.of_command(self.command, values, self.folders)}
        return [one for key, one in found.items() if "[]" not in key]

    def _groups(self) -> dict[str, str | None]:
        return groups.of_command(self.command)

    def _launcher(self) -> str:
        return (self._chosen("hydra/launcher") or ["workers"])[-1]

    def _chosen(self, group: str) -> list[str]:
        """The names that are taken of a group: those typed, else those of the experiment that is named."""
        if group in self.typed:
            return self.typed[group].split(",")
        found = []
        for name in self.typed.get("experiment", "").split(","):
            path = groups.choices("experiment", self.folders).get(name)
            for entry in groups.read(path).get("defaults", ()) if path else ():
                if isinstance(entry, dict) and f"override /{group}" in entry:
                    found.append(str(entry[f"override /{group}"]))
        return found

    def _directories(self, document: str) -> Iterator[Path]:
        root = Path(self.typed.get("runs_dir", "runs"))
        return (path for path in find_directories(root, newest_first=True) if (path / document).is_file())


def _beginning(found: Iterable[Offer], typed: str) -> list[Offer]:
    return [(text, said) for text, said in found if text.startswith(typed)]


def _others(found: Iterable[Offer], stem: str, piece: str) -> list[Offer]:
    """Those that begin with `piece` and are not in the list before it."""
    there = re.split(r"[,\[]", stem)
    return [(stem + text, said) for text, said in _beginning(found, piece) if text not in there]


def _levels(found: Iterable[Offer], typed: str, separator: str) -> list[Offer]:
    """Those that begin as typed, each up to the next separator only; several of one beginning are one."""
    levels: dict[str, str] = {}
    for text, said in _beginning(found, typed):
        end = text.find(separator, len(typed)) + 1
        levels.setdefault(text[:end] if end else text, "" if end else said)
    return list(levels.items())


def _files(typed: str, folders_alone: bool = False) -> list[Offer]:
    """What lies where `typed` points to."""
    folder, slash, name = typed.rpartition("/")
    try:
        with os.scandir(os.path.expanduser(f"{folder}{slash}") or ".") as entries:
            found = [(one.name, one.is_dir()) for one in itertools.islice(entries, MOST)]
    except OSError:
        return []
    return [
        (f"{folder}{slash}{one}{'/' if is_folder else ''}", "")
        for one, is_folder in sorted(found)
        if one.startswith(name)
        and one.isprintable()
        and (is_folder or not folders_alone)
        and (name or not one.startswith("."))
    ]


# ---- shells


def _for_bash(texts: Iterable[str], line: str, piece: str) -> list[str]:
    """What bash puts in place of `piece`, the part of the word behind its last = or colon.

    Quoted, and with a space where the word ends, unless a quote is open, which bash closes by itself.
    """
    in_quotes = _still_open(line)
    before = split(line)[-1].removesuffix(piece if in_quotes else split(piece)[-1])
    found = []
    for text in texts:
        shown = text.removeprefix(before) if text.startswith(before) else text
        quoted = shown if in_quotes else re.sub(r"([^\w@%+=:,./\[\]{}~-])", r"\\\1", shown)
        found.append(quoted if text.endswith(OPEN) or in_quotes else f"{quoted} ")
    return found


def _for_zsh(offered: Sequence[Offer]) -> list[str]:
    """What zsh puts there, whether the word goes on, and what it shows."""
    width = min(WIDTH, max((len(text) for text, said in offered if said), default=0))
    return [
        f"{text}\t{'on' if text.endswith(OPEN) else 'end'}\t{f'{text:{width}}  {said}' if said else text}"
        for text, said in offered
    ]


def _short(said: str) -> str:
    """In a line, whatever a file of somebody else's says of itself."""
    plain = terminal.literal(" ".join(said.split()))
    return plain if len(plain) <= WIDTH else f"{plain[:WIDTH].rstrip(' ,;:')}..."


def script(shell: str) -> str:
    """What a shell sources. It asks the very Python and the very code that printed it, wherever it is used."""
    root = str(Path(__file__).resolve().parents[1])
    path = [f"PYTHONPATH={root}"] if environment.PROJECT.exists() else []  # an installed package is found anyway
    ask = shlex.join(["env", *path, sys.executable, "-P", "-W", "ignore", "-m", "pipeline", "completion", shell])
    return SCRIPTS[shell].replace("ASK", ask)


SCRIPTS = {
    "bash": r"""# convtrial: source <(convtrial completion bash)
_convtrial() {
    local text
    COMPREPLY=()
    compopt -o nospace 2> /dev/null
    while IFS= read -r text; do
        [[ -n $text ]] && COMPREPLY+=("$text")
    done < <(ASK "${COMP_LINE:0:COMP_POINT}" "$2" 2> /dev/null)
}
complete -o nospace -F _convtrial convtrial

# python -m pipeline.COMMAND; all else of python is left to who completed it before.
_convtrial_python() {
    if [[ $COMP_LINE =~ [[:space:]]-m[[:space:]]+pipeline([.]|[[:space:]]) ]]; then
        _convtrial "$@"
    elif [[ -n $_convtrial_before ]]; then
        "$_convtrial_before" "$@"
    fi
}
if declare -F _comp_load > /dev/null; then
    _comp_load python > /dev/null 2>&1
elif declare -F _completion_loader > /dev/null; then
    _completion_loader python > /dev/null 2>&1
fi
if [[ $(complete -p python 2> /dev/null) =~ \ -F\ ([^ ]+) && ${BASH_REMATCH[1]} != _convtrial_python ]]; then
    _convtrial_before=${BASH_REMATCH[1]}
fi
complete -o bashdefault -o default -F _convtrial_python python python3
""",
    "zsh": r"""#compdef convtrial
# convtrial: source <(convtrial completion zsh)
(( $+functions[compdef] )) || { autoload -Uz compinit && compinit -i; }
_convtrial() {
    local text how shown
    local -a open open_shown whole whole_shown
    while IFS=$'\t' read -r text how shown; do
        case $how in
            on) open+=("$text") open_shown+=("$shown") ;;
            end) whole+=("$text") whole_shown+=("$shown") ;;
        esac
    done < <(ASK "${(@Q)words[1,CURRENT-1]}" "${(Q)PREFIX}" 2> /dev/null)
    (( $#open )) && compadd -U -l -S '' -d open_shown -a open
    (( $#whole )) && compadd -U -l -d whole_shown -a whole
}
compdef _convtrial convtrial

# python -m pipeline.COMMAND; all else of python is left to zsh's own.
_convtrial_python() {
    if [[ " ${words[2,CURRENT]} " == *' -m pipeline'[.\ ]* ]]; then
        _convtrial
    else
        _python "$@"
    fi
}
autoload -Uz _python
compdef _convtrial_python python python3
""",
    "fish": r"""# convtrial: convtrial completion fish | source
function __convtrial_offers
    set -l word (commandline -ct)
    ASK (commandline -opc) "$word" 2> /dev/null
end
function __convtrial_in_python
    string match -qr -- '\s-m\s+pipeline[.\s]' (commandline -pc)
end
complete -c convtrial -f -a '(__convtrial_offers)'
# python -m pipeline.COMMAND; all else of python is left to fish's own.
for python in python python3
    complete -c $python -n __convtrial_in_python -f -a '(__convtrial_offers)'
    complete -c $python -n __convtrial_in_python -s m -x -a '(__convtrial_offers)'
end
""",
}
