"""A report of a run, as Markdown, or as one HTML page that needs nothing else."""

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from html import escape
from operator import itemgetter
from typing import Any

from ..results.tally import SIDES
from .plot import distribution, over_time

STYLE = """
:root{color-scheme:light dark;--ink:#1a1f24;--faint:#57606a;--paper:#fff;--line:#d0d7de;
--hit:#b3400e;--untouched:#0a5cad}
@media (prefers-color-scheme:dark){:root{--ink:#e6edf3;--faint:#9aa5b1;--paper:#12171d;--line:#30363d;
--hit:#ffa657;--untouched:#79b8ff}}
body{font:16px/1.5 system-ui,sans-serif;color:var(--ink);background:var(--paper);
max-width:60rem;margin:2rem auto;padding:0 1rem}
h1{font-size:1.5rem;margin-bottom:0}h2{font-size:1.15rem;margin-top:2rem}
p.verdict{border-left:.4rem solid var(--line);padding:.4rem .8rem;margin:1rem 0}
p.failed{border-color:#cf222e}p.held{border-color:#1a7f37}
div.wide{overflow-x:auto}table{border-collapse:collapse;width:100%}
th,td{text-align:left;padding:.3rem .8rem .3rem 0;border-bottom:1px solid var(--line);vertical-align:top;
overflow-wrap:break-word}
th{color:var(--faint);font-weight:600;white-space:nowrap}td.number,th.number{text-align:right;font-variant-numeric:tabular-nums}
svg{width:100%;height:auto}svg text{fill:var(--faint);font:12px system-ui,sans-serif}
.hit{fill:var(--hit)}.untouched{fill:var(--untouched)}.axis{stroke:var(--line)}
.line{fill:none;stroke-width:2}.line.hit{stroke:var(--hit);fill:none}.line.untouched{stroke:var(--untouched);fill:none}
"""

VERDICTS = {
    "held": "The hypothesis held",
    "failed": "The hypothesis failed",
    "too_few_requests": "No verdict: too few untouched requests",
}
NO_RESULTS = "No results: no request was served while the run was active, or its counts are not flushed yet."


def markdown(report: Mapping[str, Any]) -> str:
    """Text that any viewer of Markdown shows, and any person reads."""
    run = report["run"]
    parts = [f"# {_title(run)}", _verdict(run)]
    parts += [_markdown_table(*table) for table in _tables(report)]
    return "\n\n".join(filter(None, parts)) + "\n"


def _title(run: Mapping[str, Any]) -> str:
    return f"{run['name'].replace('_', ' ').capitalize()}: {run['status']}"


def html(report: Mapping[str, Any]) -> str:
    """One page: no script, nothing from elsewhere."""
    run = report["run"]
    results = run["results"]
    hypothesis = run["hypothesis"]
    explained = escape(_verdict(run)).replace(" %", "&nbsp;%")
    verdict = f'<p class="verdict {hypothesis["verdict"]}">{explained}</p>' if hypothesis else ""
    plots = (
        "<h2>Response times</h2>" + distribution(results["distribution"])
        + "<h2>Over time</h2>" + over_time(results["timeline"])
        if results else ""
    )  # fmt: skip
    tables = "".join(_html_table(*table) for table in _tables(report))
    title = _title(run)
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<style>{STYLE}</style></head><body><main><h1>{escape(title)}</h1>{verdict}{plots}{tables}</main></body></html>"
    )


def _verdict(run: Mapping[str, Any]) -> str:
    hypothesis = run["hypothesis"]
    if not hypothesis:
        return ""
    so_far = " so far" if run["status"] == "running" else ""
    return f"{VERDICTS[hypothesis['verdict']]}{so_far}. {hypothesis['explanation']}"


SPECIAL = re.compile(r"[\\`*\[\]<|]")
"""What means something within a cell of Markdown."""

Table = tuple[str, Sequence[str], Sequence[Sequence[str]]]


def _tables(report: Mapping[str, Any]) -> list[Table]:
    """Heading, columns and rows."""
    run = report["run"]
    results = run["results"]
    tables: list[Table] = [("Run", ("", ""), _facts(run))]
    if not results:
        return [*tables, ("Results", ("",), [[NO_RESULTS]]), *_events(report)]
    columns = ("", "requests", "responses", "median", "95th percentile", "99th percentile")
    sides = [_side_row(side, results[side]) for side in SIDES]
    tables.append(("Requests", columns, sides))
    tables.append(("Injected faults", ("", ""), _injected(results)))
    return [*tables, *_events(report)]


def _facts(run: Mapping[str, Any]) -> list[list[str]]:
    source = f", from {run['started_from']}" if run["started_from"] else ""
    rows = [
        ["Experiment", f"{run['name']}. {run['description']}"],
        ["Parameters", ", ".join(f"{name} = {_plain(value)}" for name, value in run["parameters"].items())],
        ["Started", f"{run['start_time']} by {run['started_by']}{source}"],
        ["Reason", run["reason"] or "(none given)"],
        _end_row(run),
        ["Run id", run["run_id"]],
    ]  # fmt: skip
    if run["alarms"]:
        rows.append(["Alarms", ", ".join(run["alarms"])])
    if run["hypothesis"]:
        rows.append(["Hypothesis", _expected(run["hypothesis"])])
    if run["defect"]:
        rows.append(["Defect", run["defect"]])
    return rows


def _end_row(run: Mapping[str, Any]) -> list[str]:
    if run["status"] == "running":
        return ["Ends", f"{run['end_time']}, unless it is stopped before"]
    if run["status"] == "completed":
        return ["Ended", f"{run['end_time']}, after its full duration"]
    why = f": {run['end_reason']}" if run["end_reason"] else ""
    return ["Ended", f"{run['end_time']}, {run['status']} by {run['ended_by']}{why}"]


def _expected(hypothesis: Mapping[str, Any]) -> str:
    bounds = []
    if hypothesis["max_error_rate"] is not None:
        bounds.append(f"at most {hypothesis['max_error_rate'] * 100:g} % fail")
    if hypothesis["p95_seconds"] is not None:
        bounds.append(f"95 % are answered within {hypothesis['p95_seconds']:g} s")
    end = "; the run is aborted when the hypothesis fails beyond chance" if hypothesis["abort"] else ""
    least = f"a verdict needs at least {hypothesis['min_requests']} of them"
    return f"Of the untouched requests {' and '.join(bounds)}; {least}{end}"


def _injected(results: Mapping[str, Any]) -> list[list[str]]:
    rate = results["actual_error_rate"]
    others = results["requests"] - results["requests_hit"] - results["requests_untouched"]
    rows = [
        ["Environments that served requests", str(results["environments"])],
        ["Requests", str(results["requests"])],
        ["Injected errors", f"{results['injected_errors']} ({(rate or 0) * 100:.3g} % of the requests)"],
        ["Injected delay, total", f"{results['injected_delay_seconds']:g} s"],
        ["Held memory, total of all environments", f"{results['held_memory_mb']} MB"],
    ]
    if others:
        rows.append(["Requests hit by other runs only", str(others)])
    return rows


def _side_row(name: str, side: Mapping[str, Any]) -> list[str]:
    answers = ", ".join(f"{count} with {status}" for status, count in side["statuses"].items()) or "none"
    return [
        name,
        str(side["requests"]),
        answers,
        *(_seconds(side[f"p{share}_seconds"]) for share in (50, 95, 99)),
    ]


def _events(report: Mapping[str, Any]) -> list[Table]:
    run = report["run"]
    rows = [
        (run["start_time"], "start", run["started_by"], run["reason"]),
        *map(_event_row, report["events"]),
        (run["end_time"], run["status"], run["ended_by"], run["end_reason"]),
    ]
    happened = rows[:-1] if run["status"] == "running" else rows
    return [("Timeline", ("time (UTC)", "event", "by", "reason"), [_timed(row) for row in sorted(happened, key=_at)])]


_at = itemgetter(0)


def _event_row(event: Mapping[str, Any]) -> tuple[str, ...]:
    what = f"start of {event['experiment']}" if event["action"] == "run" else event["action"]
    return (event["at"], what, event["by"], event["reason"] or event["details"].get("message", ""))


def _timed(row: Sequence[str | None]) -> list[str]:
    at, *rest = (cell or "" for cell in row)
    return [_clock_time(at), *rest]


def _clock_time(iso: str) -> str:
    return datetime.fromisoformat(iso).strftime("%H:%M:%S.%f")[:-3]


def _seconds(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value * 1000:.3g} ms" if value < 1 else f"{value:.3g} s"


def _plain(value: Any) -> str:  # noqa: ANN401 - a parameter's
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _markdown_table(heading: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [
        _markdown_row(columns),
        "|".join(["", *("---" for _ in columns), ""]),
        *(_markdown_row(row) for row in rows),
    ]
    return f"## {heading}\n\n" + "\n".join(lines)


def _markdown_row(cells: Sequence[str]) -> str:
    """Whatever is in them stays in its cell, and is text."""
    return f"| {' | '.join(SPECIAL.sub(_escaped, ' '.join(cell.split())) for cell in cells)} |"


def _escaped(found: re.Match[str]) -> str:
    return f"\\{found[0]}"


def _html_table(heading: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    head = "".join(f"<th scope='col'>{escape(name)}</th>" for name in columns) if any(columns) else ""
    body = "".join(
        f"<tr><th scope='row'>{escape(row[0])}</th>" + "".join(f"<td>{escape(cell)}</td>" for cell in row[1:]) + "</tr>"
        for row in rows
    )
    head = f"<thead><tr>{head}</tr></thead>" if head else ""
    return f"<h2>{escape(heading)}</h2><div class='wide'><table>{head}<tbody>{body}</tbody></table></div>"
