"use strict";
(() => {
  const BASE = location.pathname.replace(/console\/?$/, "");
  const KEY = "chaos-token " + BASE;
  const BUSY_MS = 1000, IDLE_MS = 5000, PATIENCE_MS = 10000, HISTORY_MS = 30000, NOTICE_MS = 15000, PAGE = 20;
  /** How long after a run's end environments still tell what they saw. */
  const AFTERMATH_MS = 2500;
  const $ = (id) => document.getElementById(id);
  const state = { list: null, plots: new Map(), cards: new Map(), timer: 0, newest: null, loaded: 0, entries: new Map(), loading: false };

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

  /** Who signs out while an answer is under way, or in as somebody else, gets none of it. */
  class SignedOut extends Error {}

  async function ask(method, path, body, raw) {
    const token = sessionStorage.getItem(KEY);
    let answer, content;
    try {
      answer = await fetch(BASE + path, {
        method,
        headers: { Authorization: "Bearer " + token, ...(body ? { "Content-Type": "application/json" } : {}) },
        body: body ? JSON.stringify(body) : undefined,
        cache: "no-store", signal: AbortSignal.timeout(PATIENCE_MS),
      });
      content = raw && answer.ok ? await answer.text() : await answer.json().catch(() => ({}));
    } catch {
      const done = method === "POST" ? "It may have been done all the same. " : "";
      throw new Refusal("The application does not answer. " + done + "What runs ends by itself; trying again.", 0);
    }
    if (token !== sessionStorage.getItem(KEY)) throw new SignedOut();
    if (raw && answer.ok) return content;
    if (answer.ok && content.error === false) return content.resultset;
    const bare = answer.status === 403 && !content.error_message;  // a gateway's own word, also for a token that it does not know
    if (answer.status === 401 || (bare && path === "list"))
      throw new Refusal("The token is unknown, revoked or expired. Sign in with another one.", 401);
    if (bare)
      throw new Refusal("This token may not do that. Looking and halting takes a viewer's, starting, stopping and resuming an operator's.", 403);
    throw new Refusal(content.error_message || content.message || content.Message || "The application answered " + answer.status + ".", answer.status, content.details);
  }

  /** What went wrong is told in the bar that is always there; what passes is forgotten after a while. */
  function tell(text, passes) {
    const notice = $("notice");
    clearTimeout(state.telling);
    if (notice.textContent !== text) notice.textContent = text;
    notice.hidden = !text;
    if (text && passes) state.telling = setTimeout(() => tell(""), NOTICE_MS);
  }

  function complain(error) {
    if (!(error instanceof SignedOut)) tell(error.message, true);
  }

  // Signing in and out

  async function signIn(event) {
    event.preventDefault();
    const token = $("token").value.trim();
    if (!/^[!-~]+$/.test(token)) return tell("That is no token: it has characters in it that no token has. Copy it again.");
    sessionStorage.setItem(KEY, token);
    $("token").value = "";
    tell("");
    await refresh();
    if (state.list) $("main").focus();
  }

  function signOut(message = "") {
    sessionStorage.removeItem(KEY);
    clearTimeout(state.timer);
    Object.assign(state, { list: null, newest: null, loaded: 0, silent: false });
    state.entries.clear();
    document.querySelectorAll("dialog[open]").forEach((dialog) => dialog.close());
    for (const plot of state.plots.values()) plot.chart.destroy();
    state.plots.clear(); state.cards.clear();
    for (const id of ["running", "experiments", "history", "stops"]) $(id).replaceChildren();
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
      state.heard = new Date();
      show();
    } catch (error) {
      if (error instanceof SignedOut) return;
      if (error.status === 401) return signOut(error.message);
      const since = state.heard ? " What is shown is of " + state.heard.toLocaleTimeString() + "." : "";
      state.silent = true;
      tell(error.message + since);
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
    $("locked").hidden = !list.locked;
    showExperiments(list.available_experiments);
    showRunning(list.active_experiments);
    const newest = list.active_experiments.map((run) => run.run_id).join() + (list.halt ? list.halt.halted_at : "");
    if (newest !== state.newest && state.newest !== null) setTimeout(showHistory, AFTERMATH_MS);
    if (newest !== state.newest || Date.now() - state.loaded > HISTORY_MS) showHistory();
    state.newest = newest;
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
      else value = type === "string" ? text : number(text);
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
      } catch (error) {
        if (error instanceof SignedOut) throw error;
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
      leave(element.root, $("running-title")); state.cards.delete(id);
      if (state.plots.has(id)) { state.plots.get(id).chart.destroy(); state.plots.delete(id); }
    }
    showStops(runs);
    for (const run of runs) {
      if (!state.cards.has(run.run_id)) state.cards.set(run.run_id, runCard(run));
      fill(state.cards.get(run.run_id), run);
    }
    $("nothing").hidden = runs.length > 0;
  }

  /** In the bar that is always there, wherever one has scrolled to. */
  function showStops(runs) {
    const shown = new Set(runs.map((run) => "stop-" + run.name));
    for (const button of [...$("stops").children]) if (!shown.has(button.id)) leave(button, $("halt"));
    for (const { name } of runs) {
      if ($("stop-" + name)) continue;
      const button = make("button", { type: "button", id: "stop-" + name, on: { click: () => stop(button, name) } }, "Stop " + words(name).toLowerCase());
      $("stops").append(button);
    }
  }

  const stop = (button, name) => acting(button, () => ask("POST", "stop", { experiment_name: name }));

  /** What goes away takes no keyboard's place with it. */
  function leave(element, next) {
    const focused = element.contains(document.activeElement);
    element.remove();
    if (focused) next.focus();
  }

  function runCard(run) {
    const title = "run-" + run.run_id;
    const parts = {
      left: make("span", { class: "left" }), bar: make("progress", { max: run.parameters.duration_seconds, "aria-label": "Time that is left of " + run.name }),
      figures: make("dl"), verdict: make("p", { class: "verdict" }), plot: make("div", { class: "plot", role: "img" }),
      stop: make("button", { type: "button", class: "danger" }, "Stop " + run.name),
    };
    parts.stop.addEventListener("click", () => stop(parts.stop, run.name));
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
    parts.endsAt = performance.now() + run.remaining_seconds * 1000;
    countDown(parts);
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

  /** By this machine's own pace, from what the application said was left: it goes on where nothing answers. */
  function countDown(parts) {
    const left = Math.max(0, (parts.endsAt - performance.now()) / 1000);
    const text = left > 0 ? Math.ceil(left) + " s left" : "its time is up";
    if (parts.left.textContent !== text) parts.left.textContent = text;
    parts.bar.value = left;
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

  /** The newest page, in what is shown already; what was asked for by "Older" stays. */
  async function showHistory() {
    if (state.loading || !state.list) return;
    state.loading = true;
    state.loaded = Date.now();
    try {
      const page = await ask("GET", "history?limit=" + PAGE);
      if (state.entries.size && !page.entries.some((entry) => state.entries.has(entry.id))) state.entries.clear();
      if (!state.entries.size) state.older = page.next;
      const known = [...state.entries.values()].map(({ entry }) => entry);
      const fresh = new Set(page.entries.map((entry) => entry.id));
      showEntries([...page.entries, ...known.filter((entry) => !fresh.has(entry.id))]);
    } catch (error) {
      state.loaded = 0;
      complain(error);
    }
    state.loading = false;
  }

  async function showOlder() {
    if (state.loading) return;
    state.loading = true;
    try {
      const page = await ask("GET", "history?limit=" + PAGE + "&before=" + encodeURIComponent(state.older));
      state.older = page.next;
      showEntries([...[...state.entries.values()].map(({ entry }) => entry), ...page.entries]);
    } catch (error) { complain(error); }
    state.loading = false;
  }

  /** A row is made anew only where it tells something new: it may have the focus. */
  function showEntries(entries) {
    const kept = new Map();
    for (const entry of entries) {
      const told = JSON.stringify(entry), known = state.entries.get(entry.id);
      kept.set(entry.id, known && known.told === told ? known : { entry, told, row: row(entry) });
    }
    const rows = [...kept.values()].map((each) => each.row);
    const focused = document.activeElement;
    rows.forEach((each, place) => { if ($("history").children[place] !== each) $("history").insertBefore(each, $("history").children[place] || null); });
    while ($("history").children.length > rows.length) $("history").lastChild.remove();
    if (focused && focused.isConnected) focused.focus({ preventScroll: true });
    state.entries = kept;
    $("older").hidden = !state.older;
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
      $("save-markdown").onclick = () => ask("GET", path("markdown"), null, true)
        .then((text) => save(text, "text/markdown", run.run_id + ".md"))
        .catch((error) => { dialog.close(); complain(error); });
      dialog.showModal();
    } catch (error) { complain(error); }
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
    const problem = $("halt-problem");
    problem.textContent = "";
    await acting($("halt-now"), async () => {
      try {
        await ask("POST", "halt", { reason });
      } catch (error) {
        if (error instanceof SignedOut) throw error;
        problem.textContent = "NOT halted, as far as is known. " + error.message;
        return;
      }
      $("halt-reason").value = "";
      $("halting").close();
    });
    if (state.list && state.list.halt) $("resume").focus();
  }

  async function resume() {
    await acting($("resume"), () => ask("POST", "resume", {}));
    if (state.list && !state.list.halt) $("halt").focus();
  }

  /** One action of a button at a time; what goes wrong is told, and what there is now is shown. The focus stays. */
  async function acting(button, action) {
    if (button.getAttribute("aria-disabled") === "true") return;
    button.setAttribute("aria-disabled", "true");
    try { tell(""); await action(); } catch (error) { complain(error); }
    button.removeAttribute("aria-disabled");
    await refresh();
  }

  // Words

  /** A parameter's name in words, without the unit that is in it. */
  const labelOf = (field, { unit }) => words(unit ? field.replace(new RegExp("_" + unit + "$", "i"), "") : field);
  /** Also with a decimal comma, which is all that some phones offer. What is no number is the application's to refuse. */
  const number = (text) => { const read = Number(text.replace(",", ".")); return Number.isNaN(read) ? text : read; };
  const unbroken = (text) => text.replaceAll(" %", "\u00a0%");
  const words = (name) => (name.charAt(0).toUpperCase() + name.slice(1)).replaceAll("_", " ");
  const verdictOf = (verdict) => ({ held: "held", failed: "failed", too_few_requests: "too few requests to tell" })[verdict];
  const moment = (iso) => new Date(iso).toLocaleString();
  const time = (seconds) => seconds == null ? "–" : seconds < 1 ? Number((seconds * 1000).toPrecision(3)) + "\u00a0ms" : Number(seconds.toPrecision(3)) + "\u00a0s";

  document.querySelector("#sign-in form").addEventListener("submit", signIn);
  $("sign-out").addEventListener("click", () => signOut());
  $("halt").addEventListener("click", () => { $("halt-problem").textContent = ""; $("halting").showModal(); });
  $("halting").querySelector("form").addEventListener("submit", halt);
  $("resume").addEventListener("click", resume);
  $("older").addEventListener("click", showOlder);
  document.querySelectorAll("[data-close]").forEach((button) => button.addEventListener("click", () => button.closest("dialog").close()));
  document.addEventListener("visibilitychange", () => { state.loaded = 0; if (document.hidden) clearTimeout(state.timer); else refresh(); });
  setInterval(() => state.cards.forEach(countDown), 500);
  addEventListener("resize", () => state.list && showRunning(state.list.active_experiments));
  refresh();
})();
