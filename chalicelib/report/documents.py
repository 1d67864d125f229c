"""A report of a run, as Markdown, or as one HTML page that needs nothing else."""

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from html import escape
from operator import itemgetter
from typing import Any

from ..results.tally import SIDES
from .plot import Moments, distribution, over_time

STYLE = """
:root{color-scheme:light dark;--ink:#1a1f24;--faint:#57606a;--paper:#fff;--line:#d0d7de;
--hit:#b3400e;--untouched:#0a5cad}
@media (prefers-color-scheme:dark){:root{--ink:#e6edf3;--faint:#9aa5b1;--paper:#12171d;--line:#30363d;
--hit:#ffa657;--untouched:#79b8ff}}
body{font:16px/1.5 system-ui,sans-serif;color:var(--ink);background:var(--paper);
max-width:60rem;margin:2rem auto;padding:0 1rem}
h1{font-size:1.5rem;margin-bottom:0}h2{font-size:1.15rem;margin-top:2rem}
p.verdict,p.finding{border-left:.4rem solid var(--line);padding:.4rem .8rem;margin:1rem 0}
p.failed{border-color:#cf222e}p.held,p.recovered{border-color:#1a7f37}p.too_few_requests,p.cannot_tell,p.unmet{border-color:#bf8700}
div.wide{overflow-x:auto}table{border-collapse:collapse;width:100%}
th,td{text-align:left;padding:.3rem .8rem .3rem 0;border-bottom:1px solid var(--line);vertical-align:top;
overflow-wrap:break-word}
th{color:var(--faint);font-weight:600;white-space:nowrap}td.number,th.number{text-align:right;font-variant-numeric:tabular-nums}
svg{width:100%;height:auto}svg text{fill:var(--faint);font:12px system-ui,sans-serif}
.shade{fill:var(--line);opacity:.45}.hit{fill:var(--hit)}.untouched{fill:var(--untouched)}.axis{stroke:var(--line)}
.line{fill:none;stroke-width:2}.line.hit{stroke:var(--hit);fill:none}.line.untouched{stroke:var(--untouched);fill:none}
"""

VERDICTS = {
    "held": "The hypothesis held",
    "failed": "The hypothesis failed",
    "too_few_requests": "No verdict: too few requests",
    "cannot_tell": "No verdict",
}
SIDE_VERDICTS = {"held": "held", "failed": "failed"}
"""In a sentence about one side; for any other verdict the explanation says why there is none."""

NO_RESULTS = "No results: no request was served while the run was active, or its counts are not flushed yet."


def markdown(report: Mapping[str, Any]) -> str:
    """Text that any viewer of Markdown shows, and any person reads."""
    run = report["run"]
    parts = [f"# {_title(run)}", *(text for _, text in _findings(run))]
    parts += [_markdown_table(*table) for table in _tables(report)]
    return "\n\n".join(filter(None, parts)) + "\n"


def _title(run: Mapping[str, Any]) -> str:
    label = f" ({run['label']})" if run["label"] != run["name"] else ""
    return f"{run['name'].replace('_', ' ').capitalize()}{label}: {run['status']}"


def html(report: Mapping[str, Any]) -> str:
    """One page: no script, nothing from elsewhere."""
    run = report["run"]
    findings = "".join(_html_finding(*each) for each in _findings(run))
    tables = "".join(_html_table(*table) for table in _tables(report))
    title = _title(run)
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<style>{STYLE}</style></head><body><main><h1>{escape(title)}</h1>{findings}{_plots(run)}{tables}</main></body></html>"
    )


def _html_finding(kind: str, text: str) -> str:
    found = "verdict" if kind in VERDICTS else "finding"
    return f'<p class="{found} {escape(kind)}">{escape(text).replace(" %", "&nbsp;%")}</p>'


def _plots(run: Mapping[str, Any]) -> str:
    results = run["results"]
    if not results:
        return ""
    times = over_time(results["timeline"], results["after"], _moments(run))
    return f"<h2>Response times</h2>{distribution(results['distribution'])}<h2>Over time</h2>{times}"


def _moments(run: Mapping[str, Any]) -> Moments:
    started_at, ended_at = (datetime.fromisoformat(run[name]).timestamp() for name in ("start_time", "end_time"))
    baseline = _baseline_seconds(run)
    return Moments(
        started_at=started_at,
        hits_from=started_at + baseline if baseline else None,
        ended_at=ended_at if run["results"]["after"] else None,
    )


def _baseline_seconds(run: Mapping[str, Any]) -> float:
    return float((run["hypothesis"] or {}).get("baseline_seconds", 0.0))


Finding = tuple[str, str]
"""A sentence or two that stand above everything else, and their kind: a verdict, `recovered` or `unmet`."""


def _findings(run: Mapping[str, Any]) -> list[Finding]:
    """Whether the run met anybody, the verdict, and whether the application recovered."""
    results = run["results"]
    findings = list(_verdicts(run))
    if results and results["efficacy"] != "confirmed":
        findings.insert(0, ("unmet", results["efficacy_explanation"]))
    if results and results["recovery"]:
        recovered = results["recovery"]["recovered_after_seconds"] is not None
        findings.append(("recovered" if recovered else "unmet", f"After the run: {results['recovery']['explanation']}"))
    return findings


def _verdicts(run: Mapping[str, Any]) -> Iterator[Finding]:
    """The verdict; where hit and untouched requests are judged, one for each of them, too."""
    hypothesis = run["hypothesis"]
    if not hypothesis:
        return
    so_far = " so far" if run["status"] == "running" else ""
    whole = f"{VERDICTS.get(hypothesis['verdict'], hypothesis['verdict'])}{so_far}."
    if len(hypothesis["sides"]) < len(SIDES):
        yield hypothesis["verdict"], f"{whole} {hypothesis['explanation']}"
        return
    yield hypothesis["verdict"], whole
    for side, judged in hypothesis["sides"].items():
        words = SIDE_VERDICTS.get(judged["verdict"], "no verdict")
        yield judged["verdict"], f"{side.capitalize()} requests: {words}. {judged['explanation']}"


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
    if results.get("dependencies"):
        tables.append(("Outgoing calls", CALLS, [_calls_row(each) for each in results["dependencies"]]))
        tables.append(("What came of the requests that made them", ENDS, list(map(_ends_row, results["dependencies"]))))
    tables.append(("Before, during, after", PHASES, _phase_rows(run)))
    tables.append(("Injected faults", ("", ""), _injected(results)))
    if results.get("audit") is not None:
        tables.append(("Retries and time-outs", AUDIT, _audit_rows(results["audit"])))
    return [*tables, *_events(report)]


CALLS = ("dependency", "client", "calls", "hit", "failed", "not reached", "calls a request", "usually", "times as many")
ENDS = (
    "dependency",
    "client",
    "requests",
    "survived",
    "degraded (4xx)",
    "failed (5xx, or never answered)",
    "effective error rate",
)
"""Of requests of which a call was hit: what the application answered in the end, after all retries and fallbacks."""


def _calls_row(each: Mapping[str, Any]) -> list[str]:
    counts = (str(each[name]) for name in ("calls", "calls_hit", "errors", "unreached"))
    per_request = each["calls_per_request"]
    ratios = map(_ratio, (per_request["hit"], per_request["untouched"], each["amplification"]))
    return [each["name"], each["client"] or "-", *counts, *ratios]


def _ends_row(each: Mapping[str, Any]) -> list[str]:
    rate = each["effective_error_rate"]
    ends = (str(number) for number in (each["requests"]["hit"], each["survived"], each["degraded"], each["failed"]))
    return [each["name"], each["client"] or "-", *ends, "-" if rate is None else f"{rate * 100:.3g} %"]


def _ratio(value: float | None) -> str:
    return "-" if value is None else f"{value:.3g}"


AUDIT = ("finding", "where", "what was seen", "what to do")
NO_FINDING = "nothing found"
UNKNOWN_PLACE = "unknown place"


def _audit_rows(found: Sequence[Mapping[str, Any]]) -> list[list[str]]:
    """What outgoing calls show of time-outs and retries, the worst first."""
    return [_audit_row(each) for each in found] or [[NO_FINDING, "", "", ""]]


def _audit_row(found: Mapping[str, Any]) -> list[str]:
    where = f"{found['place'] or UNKNOWN_PLACE}: {found['client']} to {found['dependency']}"
    return [found["finding"].replace("_", " "), where, found["explanation"], found["remedy"]]


PHASES = ("requests that no run hit", "requests", "failed", "95th percentile")
NOT_MEASURED = "not measured"
HOW_TO_MEASURE = f"{NOT_MEASURED}: start with baseline_seconds in the hypothesis"


def _phase_rows(run: Mapping[str, Any]) -> list[list[str]]:
    phases = run["results"]["phases"]
    absent = {"before": HOW_TO_MEASURE if run["hypothesis"] else NOT_MEASURED, "after": "the run is not over"}
    names = {
        "before": f"before, {_baseline_seconds(run):g} s" if phases["before"] else "before",
        "during": "during",
        "after": "after, up to 60 s",
    }
    return [_phase_row(names[each], phases[each], absent.get(each, "")) for each in names]


def _phase_row(name: str, phase: Mapping[str, Any] | None, absent: str) -> list[str]:
    if phase is None:
        return [name, absent, "", ""]
    rate = "-" if phase["error_rate"] is None else f"{phase['errors']} ({phase['error_rate'] * 100:.3g} %)"
    return [name, str(phase["requests"]), rate, _seconds(phase["p95_seconds"])]


def _facts(run: Mapping[str, Any]) -> list[list[str]]:
    source = f", from {run['started_from']}" if run["started_from"] else ""
    rows = [
        ["Experiment", f"{run['name']}. {run['description']}"],
        ["Label", run["label"]],
        ["Parameters", ", ".join(f"{name} = {_plain(value)}" for name, value in run["parameters"].items())],
        ["Started", f"{run['start_time']} by {run['started_by']}{source}"],
        ["Reason", run["reason"] or "(none given)"],
        _end_row(run),
        ["Run id", run["run_id"]],
    ]  # fmt: skip
    if run["scenario"]:
        rows.append(["Scenario", run["scenario"]])
    if run.get("dry_run"):
        rows.append(["Dry run", "nothing was injected: what would have been hit was counted"])
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
    if run["status"] == "completed" and run["end_reason"]:
        return ["Ended", f"{run['end_time']}, completed: {run['end_reason']}"]
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
    whom = JUDGED.get(hypothesis["of"], f"{hypothesis['of']} requests")
    seconds = hypothesis["baseline_seconds"]
    baseline = f"; nothing was hit in the first {seconds:g} s" if seconds else ""
    return f"Of the {whom} {' and '.join(bounds)}; {least}{end}{baseline}"


JUDGED = {"both": "untouched requests, and of the hit ones,"}


AIMED = {
    "matched": "Requests that the target matched",
    "without_key": "Requests that were not hit because they have no key",
    "would_hit": "Requests that the dry run would have hit",
}
"""What is counted of runs that have such an option, in words."""

AIMED_CALLS = {
    "matched": "Outgoing calls that matched",
    "unreached": "Outgoing calls that could not be made to meet the fault",
    "without_key": "Outgoing calls that were not hit because their requests have no key",
    "would_hit": "Outgoing calls that the dry run would have hit",
}
"""The same of runs about outgoing calls."""


def _injected(results: Mapping[str, Any]) -> list[list[str]]:
    before = (results["phases"]["before"] or {"requests": 0})["requests"]
    others = results["requests"] - results["requests_hit"] - results["requests_untouched"] - before
    rows = [
        ["Environments that served requests", str(results["environments"])],
        ["Requests", str(results["requests"])],
        *([counter["title"], _counted(counter, results["requests"])] for counter in results["counters"]),
    ]
    named = AIMED if results.get("dependencies") is None else AIMED_CALLS
    rows += [[name, str(results[counter])] for counter, name in named.items() if results.get(counter) is not None]
    if results["died"]:
        rows.append(["Requests that began and were never answered", str(results["died"])])
    if results["test"]["requests"]:
        test = f"{results['test']['requests']}, {results['test']['hit']} hit; they count nowhere else"
        rows.append(["Calls to the test endpoint", test])
    if others > 0:
        rows.append(["Requests hit by other runs only", str(others)])
    return rows


def _counted(counter: Mapping[str, Any], requests: int) -> str:
    """A number and its unit; of requests also the share of all."""
    value = counter["value"]
    if counter["unit"] == "requests":
        return f"{value} ({value / max(requests, 1) * 100:.3g} % of the requests)"
    return f"{value:.10g} {UNITS.get(counter['unit'], counter['unit'])}"


UNITS = {"seconds": "s"}
"""How units are written that are words."""


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
    what = _start(event["run"]) if event["action"] == "run" else event["action"]
    return (event["at"], what, event["by"], event["reason"] or event["details"].get("message", ""))


def _start(run: Mapping[str, Any]) -> str:
    label = f", {run['label']}" if run["label"] != run["name"] else ""
    return f"start of {run['name']}{label}"


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
