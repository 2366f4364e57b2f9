"""Writes the generated pages of the reference, from the charts, the commands and the docstrings.

python docs/generate.py             write them
python docs/generate.py --check     only name those that are stale; exit 1 where one is
"""

from __future__ import annotations

import importlib
import inspect
import re
import sys
import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from enum import StrEnum
from itertools import takewhile
from pathlib import Path
from typing import Any, ForwardRef

import click

import postledger
from postledger.cli import main
from postledger.definitions.chart import Region, Statechart
from postledger.definitions.conditions import Condition
from postledger.definitions.definitions import builtin, providers, shipped
from postledger.definitions.language import schema_text
from postledger.definitions.vocabulary import Entry, Vocabulary
from postledger.findings import names

HERE = Path(__file__).parent
SAMPLES = Path(__file__).parents[1] / "fixtures" / "providers"
SCHEMA = "reference/vocabulary.schema.json"
COMMAND = "python docs/generate.py"
MARK = f"<!-- Generated: change what it is made from, then run `{COMMAND}`. -->"

Lines = Iterator[str]


def stale() -> list[str]:
    """The generated pages that are not what would be written now."""
    return [name for name in (*PAGES, SCHEMA) if _there(name) != written(name)]


def written(name: str) -> str:
    """The text of a generated page, or of the schema."""
    return schema_text() + "\n" if name == SCHEMA else page(PAGES[name])


def page(make: Callable[[], Lines]) -> str:
    """The text of a generated page."""
    title, *rest = make()
    text = "\n".join([title, "", MARK, "", *rest]).rstrip() + "\n"
    return re.sub(r"\n{3,}", "\n\n", text)


def _there(name: str) -> str:
    path = HERE / name
    return path.read_text("utf-8") if path.exists() else ""


def table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> Lines:
    """A Markdown table; cells may hold anything but line breaks."""
    yield ""
    yield f"| {' | '.join(headings)} |"
    yield f"|{'---|' * len(headings)}"
    for row in rows:
        cells = [cell.replace("|", r"\|") for cell in row]
        yield f"| {' | '.join(cells)} |"
    yield ""


def code(words: Iterable[str]) -> str:
    """Words, each as code."""
    return ", ".join(map(_code, words))


def _code(word: str) -> str:
    return f"`{word}`"


# --- the charts ---


def charts() -> Lines:
    """The charts and the words of the vocabularies that ship."""
    definitions = builtin()
    yield "# The statecharts"
    yield "Each chart is a TOML file of `statecharts/`; its language is described in"
    yield "[Charts and vocabularies](vocabulary.md), the idea in [Design](../explanation/design.md)."
    yield "`postledger charts` prints these, `postledger charts --mermaid` draws them whole."
    for chart in definitions.charts.values():
        yield from _chart(chart)
    yield ""
    yield "## Which postbacks say what"
    yield ""
    yield "A postback is looked up by the vocabularies below. One that two of them know, or none, is"
    yield "`unrecognised`: it is kept and changes no state. The *evidence* is what a receipt"
    yield "says in addition to its outcome: the route that it came by."
    for vocabulary in definitions.vocabularies:
        yield from _vocabulary(vocabulary)


def _chart(chart: Statechart) -> Lines:
    yield ""
    yield f"## {chart.name}"
    yield ""
    yield f"{chart.title}. Version {chart.version}."
    yield ""
    yield f"**Policy.** {chart.policy}"
    yield ""
    yield f"### Triggers of {chart.name}"
    yield ""
    yield f"Fold order: {', then '.join(f'`{stage}`' for stage in chart.stages)}."
    yield from table(
        ["trigger", "stage", "presupposes", "if refused", "parts", "means"], _triggers(chart)
    )
    for region in chart.regions:
        yield f"### Region {region.name} of {chart.name}"
        yield ""
        yield from _diagram(region)
        yield from _region(region)


def _diagram(region: Region) -> Lines:
    """The region without what leads back to the same state, which is in the table."""
    yield "```mermaid"
    yield "stateDiagram-v2"
    yield "    direction LR"
    yield f"    [*] --> {region.initial}"
    said: dict[tuple[str, str], list[str]] = {}
    for one in region.transitions:
        if one.source != one.dest:
            said.setdefault((one.source, one.dest), []).append(one.trigger)
    for (source, dest), triggers in said.items():
        yield f"    {source} --> {dest}: {',<br>'.join(triggers)}"
    yield "```"
    yield ""


def _triggers(chart: Statechart) -> Iterator[list[str]]:
    for trigger in chart.triggers.values():
        yield [
            f"`{trigger.name}`",
            chart.stages[trigger.stage],
            "" if trigger.after is None else chart.stages[trigger.after],
            names(trigger.refused)[0],
            "all" if trigger.parts else "",
            trigger.means,
        ]


def _region(region: Region) -> Lines:
    yield f"It begins in `{region.initial}`. Final states: {_listed(region.final)}. States that come"
    yield f"with a reason: {_listed(region.explained)}. What leads back to the same state agrees with"
    yield "what is known; the diagram leaves it out."
    yield from table(["from", "trigger", "to", ""], _transitions(region))


def _transitions(region: Region) -> Iterator[list[str]]:
    """The transitions, those of the same triggers and destination in one row."""
    triggers: dict[tuple[str, str, bool], list[str]] = {}
    for one in region.transitions:
        triggers.setdefault((one.source, one.dest, one.overrides), []).append(one.trigger)
    sources: dict[tuple[str, str, bool], list[str]] = {}
    for (source, dest, overrides), said in triggers.items():
        sources.setdefault((code(said), dest, overrides), []).append(source)
    for (said, dest, overrides), sourced in sources.items():
        yield [code(sourced), said, f"`{dest}`", "contradicts what stood" if overrides else ""]


def _listed(states: Iterable[str]) -> str:
    return code(sorted(states)) or "none"


def _vocabulary(vocabulary: Vocabulary) -> Lines:
    yield ""
    yield f"### {vocabulary.name}"
    yield ""
    yield f"{vocabulary.title}. Version {vocabulary.version}."
    rows = [row for entry in vocabulary.entries for row in _entry(entry)]
    yield from table(["section", "where", "says", "chart", "evidence"], rows)


def _entry(entry: Entry) -> Iterator[list[str]]:
    """A row for each trigger, or one for a postback that says none."""
    means: list[tuple[Mapping[str, Condition], str]] = [
        (row.conditions, f"`{row.trigger}`") for row in entry.means
    ]
    evidence = [
        f"{', '.join(f'`{one}`' for one in row.triggers) or 'nothing'}{_if(row.conditions)}"
        for row in entry.evidence
    ]
    for conditions, trigger in means or [({}, "nothing")]:
        where = _conditions({**entry.match, **conditions})
        to = f"`{entry.chart}`" if entry.chart else ""
        yield [entry.section, where, trigger, to, "<br>".join(evidence)]


def _if(conditions: Mapping[str, Condition]) -> str:
    return f" if {_conditions(conditions)}" if conditions else ""


def _conditions(conditions: Mapping[str, Condition]) -> str:
    return ", ".join(f"{name} {_told(condition)}" for name, condition in conditions.items())


def _told(condition: Condition) -> str:
    told = condition.described(lambda text: f"`{text}`")
    return f"is {told}" if told in ("there", "missing") else told


# --- the providers ---


def providers_index() -> Lines:
    """The vocabularies that ship, with a line for each."""
    yield "# Providers"
    yield "The vocabularies that ship, by the names that choose them: `Ledger(path, providers=[…])`, or"
    yield "`--provider NAME` of `ingest` and `serve` for a new ledger, of `replay` to add one."
    yield "Where none is chosen, a ledger reads"
    unasked = [v.name for v in builtin().vocabularies if v.name in providers()]
    yield f"{code(unasked)}. [Your own](../how-to/your-own-provider.md) is a TOML file likewise."
    rows = []
    for name in providers():
        one = shipped(name)
        read_on = str(one.read_on) if one.read_on else ""
        checked = "unconfirmed" if one.unconfirmed else read_on
        space = f"`{one.space}`" if one.space else "common"
        rows.append([_linked(name), one.title, space, checked])
    yield from table(["name", "what it reads", "space of ids", "documentation read on"], rows)
    yield "*Unconfirmed*: what it reads could not be checked against a public page of the provider."
    yield "The *common* space is that of vocabularies that name none; of the others"
    yield "`Ledger.created` needs the `space=`."


def provider(name: str) -> Callable[[], Lines]:
    """The page of one vocabulary."""
    return lambda: _provider(shipped(name))


def _provider(one: Vocabulary) -> Lines:
    yield f"# {one.name}"
    yield f"{one.title}. Version {one.version}."
    if one.page:
        read_on = f", read on {one.read_on}" if one.read_on else ""
        yield f"Documented at <{one.page}>{read_on}."
    if one.unconfirmed:
        yield "**Unconfirmed**: no public page of the provider shows this wire; try it first."
    yield from _about(one)
    yield from _use(one)
    yield ""
    yield "## What it reads"
    rows = [row for entry in one.entries for row in _entry(entry)]
    yield from table(["section", "where", "says", "chart", "evidence"], rows)
    yield f"The words of charts are those of [The statecharts](../reference/charts.md). {_keys(one)}"
    yield from table(["our name", "on the wire"], _wire_names(one))
    yield from _of_reasons(one)


def _about(one: Vocabulary) -> Lines:
    """The comment that its file begins with; what is indented there is code."""
    yield ""
    for line in takewhile(lambda line: line.startswith("#"), one.source.splitlines()):
        text = line[1:].removeprefix(" ")
        if text.startswith("  "):
            yield from ("```text", text.strip(), "```")
        else:
            yield re.sub(r"(\w+)\.toml", lambda found: _linked(found[1]), text.replace("<", r"\<"))


def _linked(name: str) -> str:
    """A link to the page of a vocabulary; one that is read unasked stands with the charts."""
    unasked = [one.name for one in builtin().vocabularies]
    page = f"../reference/charts.md#{name}" if name in unasked else f"{name}.md"
    return f"[`{name}`]({page})"


def _use(one: Vocabulary) -> Lines:
    samples = tomllib.loads((SAMPLES / one.name / "samples.toml").read_text("utf-8"))["samples"]
    sample = next((s for s in samples if s["confirmed"]), samples[0])
    kind = "" if "content_type" not in sample else f', content_type="{sample["content_type"]}"'
    query = ", query=True" if sample.get("query") else ""
    yield ""
    yield "```python"
    yield "from pathlib import Path"
    yield ""
    yield "from postledger import Ledger"
    yield ""
    yield f'body = Path("fixtures/providers/{one.name}/{sample["file"]}").read_bytes()'
    yield f'with Ledger("{one.name}.db", providers="{one.name}") as ledger:'
    yield f"    recorded = ledger.record(body{kind}{query})"
    yield '    assert recorded.event.reading == "recognised"'
    yield "```"
    yield ""
    adds = "../how-to/providers.md#add-a-provider-to-a-ledger-that-has-others"
    yield f"`postledger serve LEDGER --provider {one.name}` takes what is posted to `/{one.name}`:"
    yield f"give the provider `https://YOUR-HOST/{one.name}` as its address"
    yield f"([run a server](../how-to/serve.md)). A ledger that has others [adds it]({adds})."
    yield from _stated(one)
    yield from _samples(one, samples)


def _stated(one: Vocabulary) -> Lines:
    if one.space:
        yield ""
        yield "A program that states the creation itself names the space of its ids:"
        key = next(entry.key for entry in one.entries if entry.key and entry.means)
        given = key[0] if len(key) == 1 else f"[{', '.join(key)}]"
        yield f'`ledger.created({given}, to=…, space="{one.space}")`.'
        written = tomllib.loads(one.source)["fields"]
        wire = ((name, [w] if isinstance(w := written[name], str) else w) for name in key)
        told = (f"`{name}` as {' or '.join(map(_code, names))}" for name, names in wire)
        yield f"Reports have {', '.join(told)}."


def _samples(one: Vocabulary, samples: Sequence[Mapping[str, Any]]) -> Lines:
    fixtures = f"../../fixtures/providers/{one.name}"
    unsure = [s["file"] for s in samples if not s["confirmed"]]
    sure = len(samples) - len(unsure)
    yield ""
    yield f"[Samples]({fixtures}/samples.toml): {len(samples)}, {sure} of them confirmed by a page."
    if unsure:
        listed = ", ".join(f"[`{file}`]({fixtures}/{file})" for file in unsure)
        yield f"Unconfirmed, since no page shows them: {listed}."


def _keys(one: Vocabulary) -> str:
    keys = dict.fromkeys(entry.key for entry in one.entries if entry.key and entry.means)
    said = " or ".join(f"`{' / '.join(key)}`" for key in keys)
    clocks = dict.fromkeys(
        (entry.clock.field, entry.clock.formats) for entry in one.entries if entry.chart
    )
    times = "; ".join(f"`{field}` as {code(formats)}" for field, formats in clocks if field)
    ignored = f" Takes no part in the identity: {code(sorted(one.ignore))}." if one.ignore else ""
    return (
        f"A delivery is known by {said}, in the space `{one.space}`; its time is {times}.{ignored}"
    )


def _wire_names(one: Vocabulary) -> Iterator[list[str]]:
    for ours, wire in one.fields.items():
        yield [f"`{ours}`", code(dict.fromkeys(wire))]
    for amount, currency in one.said.units.items():
        yield [f"`unit {amount}`", f"not there: always {currency}"]


def _of_reasons(one: Vocabulary) -> Lines:
    for field, codes in one.said.reasons.items():
        yield ""
        yield f"## Reasons: the codes of {field}"
        rows = [[f"`{c}`", meaning.text, meaning.reason_class] for c, meaning in codes.items()]
        yield from table(["code", "means", "class"], rows)


# --- the command line ---


def cli() -> Lines:
    """Every command with its arguments and options."""
    yield "# The command line"
    yield "`postledger COMMAND LEDGER …`: the path of the ledger comes first. Results go to stdout;"
    yield "progress and remarks go to stderr, and bars show on a terminal only."
    yield ""
    yield "On a terminal states and findings have colours, unless `NO_COLOR` is set or `TERM` is `dumb`;"
    yield "`--color always` and `--color never` say otherwise. What is long is shown by `$PAGER`, by"
    yield "default `less`; `--no-pager` prints it. Both may also stand before the command. What goes to a"
    yield "file or a pipe has neither."
    yield ""
    yield "Exit status: 0 done; 1 the answer is no, or it could not be done (one line on stderr says"
    yield "why); 2 wrong usage."
    yield ""
    yield "Times are ISO 8601 (`2026-11-05`, `2026-11-05 14:30`, `2026-11-05T14:30:00Z`), `now`,"
    yield "`today`, `yesterday` or `tomorrow`, alone or with a time (`yesterday 14:30`), or how long ago"
    yield "(`2 hours ago`, `30m ago`). A day alone is its first instant. A time without a zone is of"
    yield "`--tz`, or else UTC. All times that are printed are UTC."
    yield (
        "Anchors are `SIZE:ROOT`, as `ingest` prints them."
        " Spans are a number with `s`, `m`, `h`, `d` or `w`."
    )
    yield from table(["command", "does"], _commands())
    for path, command in commands():
        yield from _command(path, command)


def commands() -> Iterator[tuple[str, click.Command]]:
    """Every command that does something, with its words: ``charts check`` too."""
    yield from _below("", main)


def _below(path: str, group: click.Group) -> Iterator[tuple[str, click.Command]]:
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        words = f"{path} {name}".strip()
        if isinstance(command, click.Group):
            if command.invoke_without_command:
                yield words, command
            yield from _below(words, command)
        else:
            yield words, command


def _commands() -> Iterator[list[str]]:
    for path, command in commands():
        first = inspect.cleandoc(command.help or "").split("\n\n")[0].replace("\n", " ")
        yield [f"[`{path}`](#{path.replace(' ', '-')})", first]


def _command(path: str, command: click.Command) -> Lines:
    words = [_word(p) for p in command.params if isinstance(p, click.Argument)]
    yield ""
    yield f"## {path}"
    yield ""
    yield f"`postledger {' '.join([path, *words])} [OPTIONS]`"
    yield ""
    yield inspect.cleandoc(command.help or "").replace("\b\n", "")
    options = [p for p in command.params if isinstance(p, click.Option) and not p.hidden]
    rows = ([f"`{_option(option)}`", option.help or ""] for option in options)
    yield from table(["option", ""], rows) if options else [""]
    epilog = inspect.cleandoc(command.epilog or "").replace("\b\n", "")
    for line in epilog.splitlines()[:1]:
        yield from (line, "", "```sh")
    yield from (line.strip() for line in epilog.splitlines()[1:])
    if epilog:
        yield "```"


def _word(argument: click.Argument) -> str:
    word = argument.metavar or (argument.name or "").upper()
    return word if argument.required else f"[{word}]"


def _option(option: click.Option) -> str:
    flags = ", ".join([*option.opts, *option.secondary_opts])
    if option.is_flag or option.count:
        return flags
    kind = option.type
    value = "|".join(kind.choices) if isinstance(kind, click.Choice) else kind.name.upper()
    return f"{flags} {option.metavar or value.removesuffix(' RANGE').replace('INTEGER', 'NUMBER')}"


# --- the Python interface ---


def api() -> Lines:
    """Every public name."""
    yield "# The Python interface"
    yield "These are the names that `postledger` gives. `postledger.definitions`, `postledger.simulate`"
    yield "and `postledger.audit` have public names too: those in `__all__`. Those of"
    yield "`postledger.server` have [a page of their own](server.md). All others may change."
    yield "The package is typed. A fault of a ledger, a file or a body is a `PostledgerError`,"
    yield "and its message is one line that says what to do. A mistake of the program that calls, such as"
    yield "text for a body or a time without a zone, is a `TypeError` or `ValueError` that says so."
    yield "The examples take `ledger` and `body` as given."
    yield from table(
        ["name", ""],
        ([f"[`{n}`](#{n.lower()})", _first(getattr(postledger, n))] for n in _public()),
    )
    for name in _public():
        yield from _name(name, getattr(postledger, name))


SERVER = {
    "": ["receiver"],
    "senders_toml": ["load_senders"],
    "senders": ["Senders"],
    "forwarder": ["Forwarder"],
    "endpoints": ["Endpoint", "Status", "endpoints", "endpoint_of"],
    "outbox": ["Waiting"],
    "schedule": ["Schedule"],
    "metrics": ["collector"],
}
"""The public names of ``postledger.server``, by module."""


def server() -> Lines:
    """Every public name of the service around a ledger."""
    found = {
        name: (module, getattr(importlib.import_module(module), name))
        for module, names in (
            (f"postledger.server.{inner}".rstrip("."), names) for inner, names in SERVER.items()
        )
        for name in names
    }
    yield "# The Python interface of the server"
    yield "These names of the modules of `postledger.server` are public; all others may change."
    yield "[Run a server](../how-to/serve.md), [Forward](../how-to/forward.md) and"
    yield "[Operate a ledger](../how-to/operate.md) show how they are used."
    yield "The examples take `ledger` and `body` as given."
    yield from table(
        ["name", "module", ""],
        (
            [f"[`{name}`](#{name.lower()})", f"`{module}`", _first(value)]
            for name, (module, value) in found.items()
        ),
    )
    for name, (_, value) in found.items():
        yield from _name(name, value)


def console() -> Lines:
    """Every public name of the console."""
    module = importlib.import_module("postledger.console")
    yield "# The Python interface of the console"
    yield "These names of `postledger.console` are public;"
    yield "[Look into a ledger](../how-to/console.md) shows how they are used."
    names = sorted(module.__all__, key=str.lower)
    yield from table(
        ["name", ""],
        ([f"[`{name}`](#{name.lower()})", _first(getattr(module, name))] for name in names),
    )
    for name in names:
        yield from _name(name, getattr(module, name))


def _public() -> list[str]:
    first = ["Ledger"]
    return first + [name for name in postledger.__all__ if name not in first]


def _first(value: Any) -> str:
    """The first sentence of a name's docstring."""
    doc = _doc(value)
    return " ".join(doc.split("\n\n")[0].split())


def _doc(value: Any) -> str:
    """The docstring; of an alias of a type, which has none of its own, what it stands for."""
    if inspect.isclass(value) or inspect.isfunction(value) or isinstance(value, property):
        return inspect.getdoc(value) or ""
    if value == postledger.__version__:
        return f"The version of the package, such as `{value}`."
    if isinstance(value, str):
        return f"A text: `{value}`."
    return f"A type: `{str(value).replace('postledger.', '').replace('model.', '')}`."


def _name(name: str, value: Any) -> Lines:
    yield ""
    yield f"## {name}"
    yield ""
    if inspect.isclass(value) and issubclass(value, BaseException):
        yield f"Error, a kind of `{value.__bases__[0].__name__}`."
    elif inspect.isclass(value) and issubclass(value, StrEnum):
        yield f"One of {code(one.value for one in value)}."
        yield ""
    elif inspect.isfunction(value) or (
        inspect.isclass(value) and not getattr(value, "_is_protocol", False)
    ):
        yield from _fenced(_signature(name, value))
    yield from _described(_doc(value))
    if inspect.isclass(value):
        yield from _members(name, value)


def _members(owner: str, cls: type) -> Lines:
    for name, member in vars(cls).items():
        plain = member.__func__ if isinstance(member, (classmethod, staticmethod)) else member
        if name.startswith("_") or not (inspect.isfunction(plain) or isinstance(plain, property)):
            continue
        yield ""
        yield f"### {owner}.{name}"
        yield ""
        if inspect.isfunction(plain):
            yield from _fenced(_signature(name, plain) + _returns(plain))
        doc = _doc(plain)
        # The examples of `Ledger` await nothing.
        yield from _described(doc.partition(">>>")[0] if owner == "AsyncLedger" else doc)


def _fenced(text: str) -> Lines:
    # Not "python": those run.
    yield from ("```py", text, "```", "")


def _signature(name: str, value: Any) -> str:
    """The call of a name, a parameter a line where it is long."""
    parameters = _parameters(value)
    line = f"{name}({', '.join(parameters)})"
    if len(line) < 80:
        return line
    return "\n".join([f"{name}(", *(f"    {one}," for one in parameters), ")"])


def _parameters(value: Any) -> list[str]:
    """The parameters without ``self``, annotated as they are in the source."""
    parts: list[str] = []
    keyword = False
    for one in inspect.signature(value).parameters.values():
        if one.name in ("self", "cls"):
            continue
        if one.kind is one.KEYWORD_ONLY and not keyword:
            keyword = True
            parts.append("*")
        stars = {one.VAR_POSITIONAL: "*", one.VAR_KEYWORD: "**"}.get(one.kind, "")
        keyword = keyword or one.kind is one.VAR_POSITIONAL
        parts.append(f"{stars}{one.name}{_annotation(one.annotation)}{_default(one.default)}")
    return parts


def _annotation(annotation: Any) -> str:
    return "" if annotation is inspect.Parameter.empty else f": {_type(annotation)}"


def _type(annotation: Any) -> str:
    if isinstance(annotation, str):
        return annotation
    if isinstance(annotation, ForwardRef):
        return annotation.__forward_arg__
    return annotation.__name__ if inspect.isclass(annotation) else str(annotation)


def _default(default: Any) -> str:
    if default is inspect.Parameter.empty:
        return ""
    simple = default is None or isinstance(default, (str, int, float, tuple))
    return f" = {default!r}" if simple else " = …"


def _returns(function: Any) -> str:
    annotation = inspect.signature(function).return_annotation
    return "" if annotation is inspect.Signature.empty else f" -> {_type(annotation)}"


def _described(doc: str) -> Lines:
    """A docstring as Markdown; its examples run where they stand, in the source."""
    example = False
    for block in re.split(r"\n\s*\n", doc):
        if block.startswith(">>>"):
            if not example:
                yield "```pycon"
            yield block
            example = True
            continue
        if example:
            yield from ("```", "")
            example = False
        yield from (block, "")
    if example:
        yield from ("```", "")


PAGES: dict[str, Callable[[], Lines]] = {
    "reference/charts.md": charts,
    "reference/cli.md": cli,
    "reference/api.md": api,
    "reference/server.md": server,
    "reference/console.md": console,
    "providers/index.md": providers_index,
    **{
        f"providers/{name}.md": provider(name)
        for name in providers()
        if (SAMPLES / name / "samples.toml").exists()
    },
}


def run(arguments: list[str]) -> int:
    """Write the pages, or with ``--check`` only name those that are stale."""
    found = stale()
    for name in found:
        if "--check" in arguments:
            print(f"docs/{name} is stale: run `{COMMAND}`")
        else:
            (HERE / name).parent.mkdir(exist_ok=True)
            (HERE / name).write_text(written(name), "utf-8")
            print(f"docs/{name}")
    return 1 if found and "--check" in arguments else 0


if __name__ == "__main__":
    sys.exit(run(sys.argv[1:]))
