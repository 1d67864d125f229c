"use strict";
(() => {
  const BASE = location.pathname.replace(/console\/?$/, "");
  const KEY = "chaos-token " + BASE;
  const BUSY_MS = 1000, IDLE_MS = 5000, PAGE = 20;
  const $ = (id) => document.getElementById(id);
  const state = { list: null, plots: new Map(), cards: new Map(), shown: null, timer: 0, newest: null };

  /** An element with attributes and children; text is always text. */
  function make(tag, attributes = {}, ...children) {
    const element = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) {
      if (name === "on") for (const [event, call] of Object.entries(value)) element.addEventListener(event, call);
      else if (value === true) element.setAttribute(name, "");
      else if (value !== false && value != null) element.setAttribute(name, value);
    }
    element.append(...children.filter((child) => child != null));
    return element;
  }

  class Refusal extends Error {
    constructor(message, status, details) { super(message); this.status = status; this.details = details || []; }
  }

  async function ask(method, path, body, raw) {
    let answer;
    try {
      answer = await fetch(BASE + path, {
        method,
        headers: { Authorization: "Bearer " + sessionStorage.getItem(KEY), ...(body ? { "Content-Type": "application/json" } : {}) },
        body: body ? JSON.stringify(body) : undefined,
        cache: "no-store",
      });
    } catch {
      throw new Refusal("The application does not answer. What runs ends by itself; trying again.", 0);
    }
    if (raw && answer.ok) return answer.text();
    const content = await answer.json().catch(() => ({}));
    if (answer.ok && content.error === false) return content.resultset;
    if (answer.status === 401) throw new Refusal("The token is unknown, revoked or expired. Sign in with another one.", 401);
    if (answer.status === 403 && !content.error_message)
      throw new Refusal("This token may not do that. Looking and halting takes a viewer's, starting, stopping and resuming an operator's.", 403);
    throw new Refusal(content.error_message || content.message || content.Message || "The application answered " + answer.status + ".", answer.status, content.details);
  }

  function tell(text) {
    const notice = $("notice");
    if (notice.textContent !== text) notice.textContent = text;
    notice.hidden = !text;
  }

  // Signing in and out

  async function signIn(event) {
    event.preventDefault();
    sessionStorage.setItem(KEY, $("token").value.trim());
    $("token").value = "";
    await refresh();
    if (state.list) $("main").focus();
  }

  function signOut(message = "") {
    sessionStorage.removeItem(KEY);
    clearTimeout(state.timer);
    Object.assign(state, { list: null, newest: null });
    for (const plot of state.plots.values()) plot.chart.destroy();
    state.plots.clear(); state.cards.clear();
    for (const id of ["running", "experiments", "history"]) $(id).replaceChildren();
    $("desk").hidden = true; $("sign-in").hidden = false;
    document.querySelector(".levers").hidden = true;
    tell(message);
    $("token").focus();
  }

  // What there is, again and again

  async function refresh() {
    clearTimeout(state.timer);
    if (!sessionStorage.getItem(KEY)) return;
    try {
      state.list = await ask("GET", "list");
      if (state.silent) tell("");
      state.silent = false;
      show();
    } catch (error) {
      if (error.status === 401 || (error.status === 403 && !state.list)) return signOut(error.message);
      state.silent = true;
      tell(error.message);
    }
    const busy = state.list && state.list.active_experiments.length;
    if (!document.hidden) state.timer = setTimeout(refresh, busy ? BUSY_MS : IDLE_MS);
  }

  function show() {
    const { list } = state;
    $("sign-in").hidden = true; $("desk").hidden = false;
    document.querySelector(".levers").hidden = false;
    const running = list.active_experiments.length;
    const told = list.halt ? "Halted." : running ? running + (running === 1 ? " run." : " runs.") : "Nothing runs.";
    if ($("state").textContent !== told) $("state").textContent = told;
    $("halt").hidden = Boolean(list.halt); $("resume").hidden = !list.halt;
    $("halted").hidden = !list.halt;
    if (list.halt) {
      const { halted_by, halted_at, reason } = list.halt;
      $("halted").querySelector("p").textContent =
        "By " + halted_by + " at " + moment(halted_at) + ": " + reason + ". Nothing starts until an operator resumes.";
    }
    if (list.locked && !$("notice").textContent)
      tell("This stage is named like production, so nothing can be started here.");
    showExperiments(list.available_experiments);
    showRunning(list.active_experiments);
    const newest = list.active_experiments.map((run) => run.run_id).join() + (list.halt ? list.halt.halted_at : "");
    if (newest !== state.newest) { state.newest = newest; showHistory(); }
  }

  // Experiments and their forms

  function showExperiments(experiments) {
    for (const experiment of experiments) {
      const id = "experiment-" + experiment.name;
      if (!$(id)) $("experiments").append(card(id, experiment));
      explain(id, experiment.parameters.properties);
    }
  }

  function card(id, { name, description, parameters }) {
    const fields = make("div", { class: "fields" });
    for (const [field, schema] of Object.entries(parameters.properties)) fields.append(input(id, field, schema));
    const own = (field, schema) => input(id, field, schema);
    const reason = own("reason", { type: "string", description: "Why, for the history.", maxLength: 100 });
    const alarms = own("alarms", { type: "string", description: "CloudWatch alarms by commas: while one is in ALARM nothing starts, and when one fires the run ends." });
    const hypothesis = make("fieldset", {}, make("legend", {}, "Hypothesis, of the requests that no fault hits"),
      make("div", { class: "fields" },
        own("max_error_rate", { type: "number", minimum: 0, maximum: 1, description: "The share of requests that may fail." }),
        own("p95_seconds", { type: "number", exclusiveMinimum: 0, maximum: 900, unit: "seconds", description: "Within what time 95 of 100 are answered." }),
        own("min_requests", { type: "integer", minimum: 1, maximum: 1000000, placeholder: 50, description: "With fewer nobody can tell." }),
        own("abort", { type: "boolean", default: false, description: "End the run when it fails beyond chance." })));
    const problem = make("p", { class: "problem", role: "alert" });
    const form = make("form", { novalidate: true, on: { submit: (event) => start(event, name, form, problem) } },
      fields,
      make("details", {}, make("summary", {}, "Reason, hypothesis, alarms"), make("div", { class: "fields" }, reason, alarms), hypothesis),
      problem,
      make("div", { class: "actions" }, make("button", { type: "submit" }, "Start " + name)));
    return make("details", { class: "card", id }, make("summary", {}, words(name)), make("p", { class: "faint" }, description), form);
  }

  function input(card, field, schema) {
    const id = card + "-" + field;
    const boolean = schema.type === "boolean", number = schema.type === "number" || schema.type === "integer";
    const control = make("input", {
      id, name: field, autocomplete: "off", "data-type": schema.type, "aria-describedby": id + "-hint",
      type: boolean ? "checkbox" : "text", inputmode: number ? "decimal" : null,
      checked: boolean && schema.default === true, placeholder: schema.placeholder,
      value: boolean || schema.default === undefined ? null : schema.default,
      maxlength: schema.maxLength,
    });
    const unit = schema.unit ? " (" + schema.unit + ")" : "";
    return make("div", {}, make("label", { for: id }, labelOf(field, schema) + unit), control,
      make("p", { class: "hint", id: id + "-hint" }, hint(schema)));
  }

  /** The limits may change with what the environment has spare. */
  function explain(card, properties) {
    for (const [field, schema] of Object.entries(properties)) {
      const shown = $(card + "-" + field + "-hint");
      if (shown && shown.textContent !== hint(schema)) shown.textContent = hint(schema);
    }
  }

  function hint(schema) {
    const limits = [];
    if (schema.exclusiveMinimum !== undefined) limits.push("above " + schema.exclusiveMinimum);
    if (schema.minimum !== undefined) limits.push("from " + schema.minimum);
    if (schema.maximum !== undefined) limits.push("up to " + schema.maximum);
    return schema.description + (limits.length ? " A " + (schema.type === "integer" ? "whole " : "") + "number " + limits.join(" ") + "." : "");
  }

  const HYPOTHESIS = ["max_error_rate", "p95_seconds", "min_requests", "abort"];

  function content(name, form) {
    const body = { experiment_name: name }, hypothesis = {};
    for (const control of form.querySelectorAll("input")) {
      const field = control.name, type = control.dataset.type, text = control.value.trim();
      let value;
      if (type === "boolean") value = control.checked;
      else if (text === "") continue;
      else if (field === "alarms") value = text.split(",").map((each) => each.trim()).filter(Boolean);
      else value = type === "string" || Number.isNaN(Number(text)) ? text : Number(text);
      (HYPOTHESIS.includes(field) ? hypothesis : body)[field] = value;
    }
    const bound = "max_error_rate" in hypothesis || "p95_seconds" in hypothesis;
    if (bound || hypothesis.abort || "min_requests" in hypothesis) body.hypothesis = hypothesis;
    return body;
  }

  async function start(event, name, form, problem) {
    event.preventDefault();
    problem.textContent = "";
    form.querySelectorAll("[aria-invalid]").forEach((control) => control.removeAttribute("aria-invalid"));
    await acting(form.querySelector("[type=submit]"), async () => {
      try {
        await ask("POST", "start", content(name, form));
        tell("");
      } catch (error) {
        problem.textContent = error.message;
        for (const { field } of error.details) {
          const wrong = form.querySelector('[name="' + CSS.escape(String(field).replace("hypothesis.", "")) + '"]');
          if (wrong) { wrong.setAttribute("aria-invalid", "true"); (wrong.closest("details:not(.card)") || {}).open = true; }
        }
      }
    });
  }

  // What runs

  function showRunning(runs) {
    const ids = new Set(runs.map((run) => run.run_id));
    for (const [id, element] of state.cards) {
      if (ids.has(id)) continue;
      element.root.remove(); state.cards.delete(id);
      if (state.plots.has(id)) { state.plots.get(id).chart.destroy(); state.plots.delete(id); }
    }
    for (const run of runs) {
      if (!state.cards.has(run.run_id)) state.cards.set(run.run_id, runCard(run));
      fill(state.cards.get(run.run_id), run);
    }
    $("nothing").hidden = runs.length > 0;
  }

  function runCard(run) {
    const title = "run-" + run.run_id;
    const parts = {
      left: make("span", { class: "left" }), bar: make("progress", { max: run.parameters.duration_seconds, "aria-label": "Time that is left of " + run.name }),
      figures: make("dl"), verdict: make("p", { class: "verdict" }), plot: make("div", { class: "plot", role: "img" }),
      stop: make("button", { type: "button", class: "danger" }, "Stop " + run.name),
    };
    parts.stop.addEventListener("click", () => acting(parts.stop, () => ask("POST", "stop", { experiment_name: run.name })));
    const { properties } = state.list.available_experiments.find((each) => each.name === run.name).parameters;
    const given = Object.entries(run.parameters).map(([name, value]) => {
      const schema = properties[name] || {}, shown = { true: "yes", false: "no" }[value] || value;
      return labelOf(name, schema) + ": " + shown + (schema.unit ? "\u00a0" + schema.unit : "");
    }).join(", ");
    const why = (run.reason ? ": " + run.reason : "") + (run.alarms.length ? ". Ends when an alarm fires: " + run.alarms.join(", ") : "");
    parts.root = make("article", { class: "card", "aria-labelledby": title },
      make("div", { class: "run-head" }, make("h3", { id: title }, words(run.name)), parts.left, parts.stop),
      parts.bar, make("p", { class: "faint" }, given), make("p", { class: "faint" }, "Started by " + run.started_by + why),
      parts.figures, parts.verdict, parts.plot);
    $("running").append(parts.root);
    return parts;
  }

  function fill(parts, run) {
    parts.left.textContent = Math.ceil(run.remaining_seconds) + " s left";
    parts.bar.value = run.remaining_seconds;
    const results = run.results;
    if (!results.requests) {
      parts.figures.replaceChildren(pair("Requests", "none yet"));
    } else {
      const percent = (share) => (share * 100).toFixed(1) + "\u00a0%";
      const side = (each) => time(each.p50_seconds) + " / " + time(each.p95_seconds);
      parts.figures.replaceChildren(
        pair("Requests", results.requests), pair("Hit", results.requests_hit), pair("Untouched", results.requests_untouched),
        pair("Injected errors", percent(results.actual_error_rate || 0)), pair("Hit, 50 / 95\u00a0%", side(results.hit)),
        pair("Untouched, 50 / 95\u00a0%", side(results.untouched)), pair("Delay injected", time(results.injected_delay_seconds)),
        pair("Memory held", results.held_memory_mb + " MB"), pair("Environments", results.environments));
    }
    const expected = run.hypothesis;
    parts.verdict.textContent = expected ? "Hypothesis, so far: " + verdictOf(expected.verdict) + ". " + unbroken(expected.explanation) : "";
    parts.verdict.className = "verdict " + (expected ? expected.verdict : "");
    parts.verdict.hidden = !expected;
    draw(parts, run);
    if (run.defect) parts.verdict.hidden = false, parts.verdict.textContent += " A defect was found: " + run.defect;
  }

  function draw(parts, run) {
    const timeline = run.results.timeline || [];
    parts.plot.hidden = timeline.length < 1;
    if (!timeline.length) return;
    const data = [timeline.map((part) => Date.parse(part.at) / 1000), timeline.map((part) => part.untouched_mean_seconds), timeline.map((part) => part.hit_mean_seconds)];
    const last = timeline[timeline.length - 1];
    parts.plot.setAttribute("aria-label", "Mean response times; the last: hit " + time(last.hit_mean_seconds) + ", untouched " + time(last.untouched_mean_seconds));
    const dark = matchMedia("(prefers-color-scheme: dark)").matches;
    const key = dark + " " + parts.plot.clientWidth;
    const known = state.plots.get(run.run_id);
    if (known && known.key === key) return known.chart.setData(data);
    if (known) { known.chart.destroy(); parts.plot.replaceChildren(); }
    const colour = (name) => getComputedStyle(document.body).getPropertyValue(name).trim();
    const axis = { stroke: colour("--faint"), grid: { stroke: colour("--line"), width: 1 }, ticks: { stroke: colour("--line") } };
    const series = (label, name) => ({ label, stroke: colour(name), width: 2, points: { size: 6 }, spanGaps: true, value: (_chart, value) => time(value) });
    const chart = new uPlot({
      width: parts.plot.clientWidth, height: 190, cursor: { drag: { x: false, y: false } },
      scales: { y: { range: (_chart, _least, most) => [0, most || 1] } },
      axes: [{ ...axis, space: 80, incrs: [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800], values: (_chart, ticks) => ticks.map((at) => new Date(at * 1000).toLocaleTimeString()) }, { ...axis, size: 65, values: (_chart, ticks) => ticks.map(time) }],
      series: [{ label: "Time", value: (_chart, at) => at == null ? "–" : new Date(at * 1000).toLocaleTimeString() }, series("untouched", "--untouched"), series("hit", "--hit")],
    }, data, parts.plot);
    state.plots.set(run.run_id, { chart, key });
  }

  const pair = (name, value) => make("div", {}, make("dt", {}, name), make("dd", {}, String(value)));

  // History and reports

  async function showHistory(before) {
    try {
      const page = await ask("GET", "history?limit=" + PAGE + (before ? "&before=" + encodeURIComponent(before) : ""));
      const rows = page.entries.map(row);
      if (before) $("history").append(...rows); else $("history").replaceChildren(...rows);
      $("older").hidden = !page.next;
      $("older").onclick = () => showHistory(page.next);
    } catch (error) { tell(error.message); }
  }

  function row(entry) {
    const run = entry.run;
    const what = run ? words(run.name) : words(entry.action) + (entry.experiment ? " of " + entry.experiment : "");
    const why = entry.by + (entry.reason ? ": " + entry.reason : "");
    let how = entry.details.message || entry.details.name || "";
    if (run) {
      how = run.status + (run.ended_by ? " by " + run.ended_by : "") + (run.end_reason ? ": " + run.end_reason : "");
      if (run.results.requests && run.status !== "running") how += ". " + run.results.requests_hit + " of " + run.results.requests + " requests hit";
      if (run.hypothesis && run.status !== "running") how += ". Hypothesis: " + verdictOf(run.hypothesis.verdict);
    }
    const button = run && make("button", { type: "button", class: "quiet", "aria-label": "Report of " + run.name + " of " + moment(entry.at), on: { click: () => showReport(run) } }, "Report");
    return make("tr", {}, make("td", {}, moment(entry.at)), make("td", {}, what), make("td", {}, why), make("td", {}, how), make("td", {}, button || ""));
  }

  async function showReport(run) {
    try {
      const path = (format) => "report?run_id=" + encodeURIComponent(run.run_id) + "&format=" + format;
      const html = await ask("GET", path("html"), null, true);
      const dialog = $("report");
      dialog.querySelector("iframe").srcdoc = html;
      $("save-html").onclick = () => save(html, "text/html", run.run_id + ".html");
      $("save-markdown").onclick = async () => save(await ask("GET", path("markdown"), null, true), "text/markdown", run.run_id + ".md");
      dialog.showModal();
    } catch (error) { tell(error.message); }
  }

  function save(text, type, name) {
    const link = make("a", { download: name, href: URL.createObjectURL(new Blob([text], { type })) });
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  }

  // Halt and resume

  async function halt(event) {
    event.preventDefault();
    const reason = $("halt-reason").value.trim();
    if (!reason) return;
    $("halting").close();
    await acting($("halt"), () => ask("POST", "halt", { reason }));
    $("halt-reason").value = "";
  }

  /** One action at a time; what goes wrong is told, and what there is now is shown. */
  async function acting(button, action) {
    button.disabled = true;
    try { await action(); state.newest = null; if (state.silent !== true) tell(""); } catch (error) { tell(error.message); }
    button.disabled = false;
    await refresh();
  }

  // Words

  /** A parameter's name in words, without the unit that is in it. */
  const labelOf = (field, { unit }) => words(unit ? field.replace(new RegExp("_" + unit + "$", "i"), "") : field);
  const unbroken = (text) => text.replaceAll(" %", "\u00a0%");
  const words = (name) => (name.charAt(0).toUpperCase() + name.slice(1)).replaceAll("_", " ");
  const verdictOf = (verdict) => ({ held: "held", failed: "failed", too_few_requests: "too few requests to tell" })[verdict];
  const moment = (iso) => new Date(iso).toLocaleString();
  const time = (seconds) => seconds == null ? "–" : seconds < 1 ? Number((seconds * 1000).toPrecision(3)) + "\u00a0ms" : Number(seconds.toPrecision(3)) + "\u00a0s";

  document.querySelector("#sign-in form").addEventListener("submit", signIn);
  $("sign-out").addEventListener("click", () => signOut());
  $("halt").addEventListener("click", () => $("halting").showModal());
  $("halting").querySelector("form").addEventListener("submit", halt);
  $("resume").addEventListener("click", () => acting($("resume"), () => ask("POST", "resume", {})));
  document.querySelectorAll("[data-close]").forEach((button) => button.addEventListener("click", () => button.closest("dialog").close()));
  document.addEventListener("visibilitychange", () => document.hidden ? clearTimeout(state.timer) : refresh());
  addEventListener("resize", () => state.list && showRunning(state.list.active_experiments));
  refresh();
})();
