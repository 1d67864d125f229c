"use strict";
(() => {
  const BASE = location.pathname.replace(/console\/?$/, "");
  const KEY = "chaos-token " + BASE;
  const BUSY_MS = 1000, IDLE_MS = 5000, PATIENCE_MS = 10000, HISTORY_MS = 30000, NOTICE_MS = 15000, PAGE = 20;
  /** How long after a run's end environments still flush their counts. */
  const FLUSH_MS = 3500;
  const $ = (id) => document.getElementById(id);
  const state = { list: null, plots: new Map(), cards: new Map(), timer: 0, newest: null, loaded: 0, entries: new Map(), schemas: new Map(), loading: false, viewer: false };

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
    constructor(message, status, { code = "", details = [] } = {}) { super(message); Object.assign(this, { status, code, details }); }
  }

  const OUTDATED = "This page does not fit the application any more. Reload the page.";
  const ROLES = "Only operators can start, stop and resume. This token has the role viewer.";

  /** The errors of the API in words of this page. An error whose code is not here is shown in the API's own words. */
  const SENTENCES = {
    already_running: ({ name, started_by }) => name + " is already running" + (started_by ? ", started by " + started_by : "") + ". Press Replace to end that run and start a new one.",
    not_running: ({ name }) => name + " is not running any more.",
    halted: () => "Everything is halted, so nothing was started. An operator must press Resume first.",
    not_halted: () => "Nothing is halted any more. Experiments can be started.",
    forbidden: () => ROLES,
    production_locked: () => $("locked").textContent,
    unknown_experiment: ({ name }) => "This application does not have the experiment " + name + ". Reload the page.",
    unknown_run: () => "The history does not have this run any more. Runs are kept for 90 days.",
    invalid_parameters: ({ details }) => details.map(({ field, allowed }) => words(field + " must be " + allowed + ".")).join(" ") || OUTDATED,
    invalid_json: () => OUTDATED, missing_parameter: () => OUTDATED, body_too_large: () => OUTDATED,
    unsupported_media_type: () => OUTDATED, unknown_endpoint: () => OUTDATED, method_not_allowed: () => OUTDATED,
  };

  function sentence(code, experiment, { message, details = [], started_by }) {
    const name = experiment ? words(experiment) : "The experiment";
    return Object.hasOwn(SENTENCES, code) ? SENTENCES[code]({ name, details, started_by }) : message;
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
      const done = method === "POST" ? "Your last action may have been carried out. " : "";
      throw new Refusal("The application is unreachable. " + done + "Trying again; runs end on their own when their time is up.", 0);
    }
    if (token !== sessionStorage.getItem(KEY)) throw new SignedOut();
    if (raw && answer.ok) return content;
    if (answer.ok && content.error === false) return content.resultset;
    const bare = answer.status === 403 && !content.error_message;  // from a gateway, which answers so for an unknown token, too
    if (answer.status === 401 || (bare && path === "list"))
      throw new Refusal("This token is unknown, revoked, expired, or of another stage. Sign in with another token.", 401);
    const code = bare ? "forbidden" : content.code;
    const message = content.error_message || content.message || content.Message || "The application answered with an error (status " + answer.status + ").";
    const { started_by } = content.resultset || {};
    throw new Refusal(sentence(code, body && body.experiment_name, { message, details: content.details, started_by }), answer.status, content);
  }

  /** An error is shown in a bar that is always in sight. What `passes` is hidden again after a while. */
  function notify(text, passes) {
    const notice = $("notice");
    clearTimeout(state.noticeTimer);
    if (notice.textContent !== text) notice.textContent = text;
    notice.hidden = !text;
    if (text && passes) state.noticeTimer = setTimeout(() => notify(""), NOTICE_MS);
  }

  function complain(error) {
    if (!(error instanceof SignedOut)) notify(error.message, true);
  }

  // Signing in and out

  async function signIn(event) {
    event.preventDefault();
    const token = $("token").value.trim();
    if (!/^[!-~]+$/.test(token)) return notify("This is not a valid token: it contains characters that no token has. Copy it again.");
    sessionStorage.setItem(KEY, token);
    $("token").value = "";
    notify("");
    await refresh();
    if (state.list) $("main").focus();
  }

  function signOut(message = "") {
    sessionStorage.removeItem(KEY);
    clearTimeout(state.timer);
    Object.assign(state, { list: null, newest: null, loaded: 0, unreachable: false, viewer: false });
    state.entries.clear();
    document.querySelectorAll("dialog[open]").forEach((dialog) => dialog.close());
    for (const plot of state.plots.values()) plot.chart.destroy();
    state.plots.clear(); state.cards.clear();
    for (const id of ["running", "experiments", "history", "stops"]) $(id).replaceChildren();
    $("signed-in").hidden = true; $("sign-in").hidden = false;
    document.querySelector(".controls").hidden = $("sign-out").hidden = true;
    delete document.body.dataset.state;
    notify(message);
    $("token").focus();
  }

  // What there is, again and again

  async function refresh() {
    clearTimeout(state.timer);
    if (!sessionStorage.getItem(KEY)) return;
    try {
      state.list = await ask("GET", "list");
      if (state.unreachable) notify("");
      state.unreachable = false;
      state.heard = new Date();
      show();
    } catch (error) {
      if (error instanceof SignedOut) return;
      if (error.status === 401) return signOut(error.message);
      const since = state.heard ? " Last update: " + state.heard.toLocaleTimeString() + "." : "";
      state.unreachable = true;
      notify(error.message + since);
    }
    const busy = state.list && state.list.active_experiments.length;
    if (!document.hidden) state.timer = setTimeout(refresh, busy ? BUSY_MS : IDLE_MS);
  }

  function show() {
    const { list } = state;
    state.viewer = list.caller.role === "viewer";
    $("sign-in").hidden = true; $("signed-in").hidden = false;
    document.querySelector(".controls").hidden = $("sign-out").hidden = false;
    const running = list.active_experiments.length;
    document.body.dataset.state = list.halt ? "halted" : running ? "running" : "idle";
    const text = list.halt ? "HALTED " + byWhom(list.halt) + (state.viewer ? " An operator must resume." : "") : running ? running + " running" : "Nothing is running";
    if ($("state").textContent !== text) $("state").textContent = text;
    $("halt").hidden = Boolean(list.halt); $("resume").hidden = !list.halt || state.viewer;
    $("halted").hidden = !list.halt;
    if (list.halt) $("halted-by").textContent = "Halted " + byWhom(list.halt);
    $("viewer-halted").hidden = !state.viewer; $("operator-halted").hidden = state.viewer;
    $("locked").hidden = !list.locked;
    $("warnings").textContent = (list.warnings || []).join(" ");
    $("warnings").hidden = !$("warnings").textContent;
    showExperiments(list.available_experiments);
    showRunning(list.active_experiments);
    const newest = list.active_experiments.map((run) => run.run_id).join() + (list.halt ? list.halt.halted_at : "");
    if (newest !== state.newest && state.newest !== null) setTimeout(showHistory, FLUSH_MS);
    if (newest !== state.newest || Date.now() - state.loaded > HISTORY_MS) showHistory();
    state.newest = newest;
  }

  const byWhom = ({ halted_by, halted_at, reason }) => "by " + halted_by + " at " + moment(halted_at) + ". Reason: " + reason.replace(/[.\s]*$/, ".");

  // Experiments and their forms

  /** Why nothing can be started now; empty if something can. */
  function blocked() {
    if (state.list.halt) return "Everything is halted. Nothing can be started until an operator presses Resume.";
    if (state.list.locked) return $("locked").textContent;
    return state.viewer ? ROLES : "";
  }

  /** A form that cannot be used is disabled as a whole, and says why. */
  function permit(card, run) {
    const why = blocked();
    const fields = card.querySelector("fieldset.form"), button = card.querySelector(".start"), text = card.querySelector(".why");
    const focused = document.activeElement;
    if (fields.contains(focused) && (why || (run && focused === button))) card.querySelector("summary").focus({ preventScroll: true });
    fields.disabled = Boolean(why);
    button.disabled = Boolean(why || run);
    card.querySelector(".replace").hidden = !run;
    const shown = why || (run ? sentence("already_running", run.name, run) : "");
    if (text.textContent !== shown) text.textContent = shown;
  }

  function showExperiments(experiments) {
    const running = new Map(state.list.active_experiments.map((run) => [run.name, run]));
    for (const experiment of experiments) {
      const id = "experiment-" + experiment.name;
      if (!$(id)) $("experiments").append(card(id, experiment));
      explain(id, experiment.parameters.properties);
      permit($(id), running.get(experiment.name));
    }
  }

  function card(id, { name, description, parameters }) {
    const problem = make("p", { class: "problem", role: "alert" });
    const form = make("form", { novalidate: true });
    const begin = (restart) => start(name, form, problem, restart);
    form.addEventListener("submit", (event) => { event.preventDefault(); begin(false); });
    form.append(make("fieldset", { class: "form" },
      ...group(id, [], parameters.properties),
      options(id),
      problem,
      make("div", { class: "actions" },
        make("button", { type: "submit", class: "start", "aria-describedby": id + "-why" }, "Start " + words(name)),
        make("button", { type: "button", class: "replace danger", hidden: true, on: { click: () => begin(true) } }, "Replace " + words(name)),
        make("span", { class: "why", id: id + "-why", role: "status" }))));
    return make("details", { class: "card", id }, make("summary", {}, words(name)),
      make("p", { class: "faint" }, description), make("p", { class: "hint" }, "Name in the API and the command line: ", make("code", {}, name)), form);
  }

  /** The option of a start that is a button of its own, Replace, and no field. */
  const RESTART = "restart";

  /** What a start may have beside its parameters, as the application publishes it: schemas by name. */
  function startOptions() {
    const { [RESTART]: _replace, ...published } = state.list.start_options?.properties || {};
    const schemas = Object.entries(published).map(([field, schema]) => [field, { ...withoutNull(schema), optional: true }]);
    return Object.fromEntries(schemas.filter(([, schema]) => isField(schema) || schema.properties));
  }

  function options(card) {
    const schemas = startOptions(), labels = Object.entries(schemas).map(([field, schema]) => inText(labelOf(field, schema)));
    return labels.length ? make("details", {}, make("summary", {}, capital(labels.join(", "))), ...group(card, [], schemas)) : null;
  }

  /** The fields of an object: first its own, then those of the objects in it. Kinds of values that this page does not know are left out. */
  function group(card, path, properties, optional = false) {
    const schemas = Object.entries(properties).map(([field, schema]) => [field, { optional, ...withoutNull(schema) }]);
    const inputs = schemas.filter(([, schema]) => isField(schema)).map(([field, schema]) => input(card, [...path, field], schema));
    const inner = schemas.filter(([, { properties: within }]) => within).map(([field, schema]) => make("fieldset", {},
      make("legend", {}, labelOf(field, schema)), make("p", { class: "hint" }, describe(schema)), ...group(card, [...path, field], schema.properties, schema.optional)));
    return [make("div", { class: "fields" }, ...inputs), ...inner];
  }

  /** The schema of a value that may be null, for when it is not. */
  function withoutNull({ anyOf = [], ...schema }) {
    const value = anyOf.find(({ type = "null" }) => type !== "null");
    return value ? { ...value, ...schema } : anyOf.length ? { anyOf, ...schema } : schema;
  }

  const isNumber = ({ type }) => type === "number" || type === "integer";
  const isField = ({ type, items = {} }) => ["number", "integer", "string", "boolean"].includes(type === "array" ? items.type : type);

  /** A control's name is the path of its value. What is optional shows its default as an example, and is sent only where it was changed. */
  function input(card, path, schema) {
    const field = path.at(-1), id = [card, ...path].join("-");
    const described = { id, name: path.join("."), autocomplete: "off", "aria-describedby": id + "-hint " + id + "-problem" };
    const control = schema.enum ? choice(described, schema) : entry(described, schema);
    const unit = unitOf(schema) && " (" + unitOf(schema) + ")";
    state.schemas.set(id, schema);
    return make("div", {}, make("label", { for: id }, labelOf(field, schema) + unit), control,
      make("p", { class: "hint", id: id + "-hint" }, hint(schema)), make("p", { class: "problem", id: id + "-problem" }));
  }

  function entry(described, schema) {
    const boolean = schema.type === "boolean";
    const fixed = boolean || schema.default == null || schema.type === "array" ? null : schema.default;
    return make("input", {
      ...described, type: boolean ? "checkbox" : "text", inputmode: isNumber(schema) ? "decimal" : null,
      checked: boolean && schema.default === true, placeholder: schema.optional ? fixed : null,
      value: schema.optional ? null : fixed, maxlength: schema.maxLength,
    });
  }

  /** One of several words. Without a default none is chosen at first. */
  function choice(described, schema) {
    const all = schema.default == null ? ["", ...schema.enum] : schema.enum;
    return make("select", described, ...all.map((word) => make("option", { value: word, selected: word === schema.default }, words(word))));
  }

  /** The limits may change with the memory that is free. */
  function explain(card, properties) {
    for (const [field, schema] of Object.entries(properties)) {
      const shown = $(card + "-" + field + "-hint");
      if (shown) state.schemas.set(card + "-" + field, schema);
      if (shown && shown.textContent !== hint(schema)) shown.textContent = hint(schema);
    }
  }

  /** A schema's description. What is a word of the API in it is in words. */
  const describe = ({ description = "" }) => description.replace(/`([^`]+)`/g, (_quoted, name) => name.replaceAll("_", " "));

  function hint(schema) {
    const limited = isNumber(schema) || schema.type === "array";
    return describe(schema) + (limited ? " " + capital(allowed(schema)) + "." : "");
  }

  /** What a field takes: "a number from 0 to 60". */
  function allowed(schema) {
    const { type, minimum, exclusiveMinimum, maximum, maxLength, maxItems, items = {} } = schema;
    if (schema.enum) return schema.enum.join(" or ");
    if (type === "array") return (maxItems ? "at most " + maxItems + " entries" : "entries") + (items.maxLength ? ", of at most " + items.maxLength + " characters each" : "") + ", separated by commas";
    if (!isNumber(schema)) return (schema.not ? "one line" : "text") + (maxLength ? " of at most " + maxLength + " characters" : "");
    const kind = type === "integer" ? "a whole number" : "a number";
    if (minimum !== undefined) return kind + (maximum === undefined ? " of " + minimum + " or more" : " from " + minimum + " to " + maximum);
    const limits = [exclusiveMinimum !== undefined && "above " + exclusiveMinimum, maximum !== undefined && "at most " + maximum];
    return [kind, limits.filter(Boolean).join(" and ")].join(" ").trim();
  }

  const CONTROLS = "input, select";

  function content(name, form) {
    const body = { experiment_name: name };
    for (const control of form.querySelectorAll(CONTROLS)) {
      const value = valueOf(control);
      if (value !== undefined) put(body, control.name.split("."), value);
    }
    return body;
  }

  function put(body, path, value) {
    const [field, ...inner] = path;
    if (inner.length) put(body[field] ??= {}, inner, value); else body[field] = value;
  }

  /** What was entered; undefined where the default is left to the application. */
  function valueOf(control) {
    const schema = state.schemas.get(control.id), text = control.value.trim();
    if (schema.type === "boolean") return schema.optional && control.checked === Boolean(schema.default) ? undefined : control.checked;
    if (text === "" || (schema.enum && schema.optional && text === schema.default)) return undefined;
    const read = (entry, { type }) => isNumber({ type }) ? number(entry) : entry;
    return schema.type === "array" ? text.split(",").map((each) => each.trim()).filter(Boolean).map((each) => read(each, schema.items)) : read(text, schema);
  }

  async function start(name, form, problem, restart) {
    problem.textContent = "";
    form.querySelectorAll("[aria-invalid]").forEach((control) => { control.removeAttribute("aria-invalid"); $(control.id + "-problem").textContent = ""; });
    let run;
    await acting(form.querySelector(restart ? ".replace" : ".start"), async () => {
      try {
        run = await ask("POST", "start", { ...content(name, form), ...(restart ? { [RESTART]: true } : {}) });
      } catch (error) {
        if (error instanceof SignedOut || CONFLICTS.includes(error.code)) throw error;
        problem.textContent = showProblems(form, error);
      }
    });
    const card = run && state.cards.get(run.run_id);
    if (!card) return;
    clearOfBars();
    card.root.scrollIntoView({ block: "start" });
    card.root.focus({ preventScroll: true });
  }

  /** What is scrolled to or focused is not to be under the bar or the notice, whose heights vary. */
  function clearOfBars() {
    const room = (bar) => bar.offsetHeight + 8 + "px", { style } = document.documentElement;
    style.scrollPaddingTop = room(document.querySelector("header"));
    style.scrollPaddingBottom = room($("notice"));
  }

  /** What the next list says beside the buttons, too. */
  const CONFLICTS = ["already_running", "halted", "production_locked", "forbidden"];

  /** The control of a field; of an object the first one in it. */
  const controlOf = (form, field) => [...form.querySelectorAll(CONTROLS)].find(({ name }) => name === field || name.startsWith(field + "."));

  /** What is wrong with several fields together, by the API's word for it: where to show it, and in which words. */
  const TOGETHER = {
    no_untouched_requests: { field: "percentage", text: "The run hits every request, so none is left for the hypothesis. Enter a lower percentage, such as 20, or choose Hit as judged requests." },
    no_time_to_hit: { field: "hypothesis.baseline_seconds", text: "The baseline must be shorter than the duration: nothing is hit before it is over." },
  };

  function problemOf(control, field) {
    const schema = state.schemas.get(control.id), entered = control.value.trim();
    if (control.name !== field) return "Fill in " + lacking(startOptions()[field]) + ".";
    return labelOf(field.split(".").at(-1), schema) + " must be " + allowed(schema) + (entered ? "; you entered “" + entered.slice(0, 40) + "”." : ".");
  }

  /** What an object cannot be without: "the max error rate or the P95 response time". */
  function lacking({ properties = {}, anyOf = [] } = {}) {
    const label = (field) => "the " + inText(labelOf(field, withoutNull(properties[field] || {})));
    return anyOf.map(({ required = [] }) => required.map(label).join(" and ")).filter(Boolean).join(" or ") || "these fields";
  }

  /** Puts each problem beside its field, and the focus on the first one. Returns what is left to say of the form as a whole. */
  function showProblems(form, error) {
    const alarm = /alarm/.test(error.code) ? [{ field: "alarms", text: error.message }] : [];
    const wrong = [], rest = [];
    const together = ({ kind }) => Object.hasOwn(TOGETHER, kind ?? "") ? TOGETHER[kind] : null;
    for (const detail of [...error.details, ...alarm].map((each) => together(each) || each)) {
      const field = String(detail.field).replace(/[.[]\d.*$/, "");
      const control = controlOf(form, field);
      if (!control) { rest.push(detail); continue; }
      control.setAttribute("aria-invalid", "true");
      $(control.id + "-problem").textContent = detail.text || problemOf(control, field);
      (control.closest("details:not(.card)") || {}).open = true;
      wrong.push(control);
    }
    if (!wrong.length) return error.message;
    wrong[0].focus();
    const marked = wrong.length === 1 ? "Not started. Correct the marked field." : "Not started. Correct the " + wrong.length + " marked fields.";
    return [marked, rest.length ? SENTENCES.invalid_parameters({ details: rest }) : ""].join(" ").trim();
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
    $("nothing").textContent = "Nothing is running." + (blocked() ? "" : " Start an experiment below. It ends on its own when its time is up.");
  }

  /** In the bar that is always there, wherever one has scrolled to. */
  function showStops(runs) {
    const shown = new Set(runs.map((run) => "stop-" + run.name));
    for (const button of [...$("stops").children]) if (!shown.has(button.id)) leave(button, $("halt"));
    for (const { name } of runs) {
      if ($("stop-" + name)) continue;
      const button = make("button", { type: "button", id: "stop-" + name, on: { click: () => stop(button, name) } }, "Stop " + words(name));
      $("stops").append(button);
    }
  }

  const stop = (button, name) => acting(button, () => ask("POST", "stop", { experiment_name: name }));

  /** An element that is removed hands the focus on; the page scrolls only where the element was in sight. */
  function leave(element, next) {
    const focused = element.contains(document.activeElement);
    const { top, bottom } = element.getBoundingClientRect();
    element.remove();
    if (focused) next.focus({ preventScroll: bottom < 0 || top > innerHeight });
  }

  function runCard(run) {
    const title = "run-" + run.run_id;
    const parts = {
      left: make("span", { class: "left" }), bar: make("progress", { max: run.parameters.duration_seconds || run.remaining_seconds || 1, "aria-label": "Time left of " + words(run.name) }),
      figures: make("dl"), verdict: make("p", { class: "verdict" }), plot: make("div", { class: "plot", role: "img" }),
      stop: make("button", { type: "button", class: "danger" }, "Stop " + words(run.name)),
    };
    parts.stop.addEventListener("click", () => stop(parts.stop, run.name));
    const properties = state.list.available_experiments.find((each) => each.name === run.name)?.parameters.properties || {};
    const given = Object.entries(run.parameters).map(([name, value]) => {
      const schema = properties[name] || {}, shown = { true: "yes", false: "no" }[value] || value;
      return labelOf(name, schema) + ": " + shown + (unitOf(schema) && "\u00a0" + unitOf(schema));
    }).join(", ");
    const target = Object.entries(run.target || {}).map(([name, value]) => ". " + labelOf(name, {}) + ": " + value).join("");
    const why = (run.reason ? ": " + run.reason : "") + (run.alarms.length ? ". Ends when one of these alarms fires: " + run.alarms.join(", ") : "");
    parts.root = make("article", { class: "card", "aria-labelledby": title, tabindex: -1 },
      make("div", { class: "run-head" }, make("h3", { id: title }, words(run.name)), parts.left, parts.stop),
      parts.bar, make("p", { class: "faint" }, given), make("p", { class: "faint" }, "Started by " + (run.started_by || "somebody") + why + target),
      parts.figures, parts.verdict, parts.plot);
    $("running").append(parts.root);
    return parts;
  }

  function fill(parts, run) {
    parts.endsAt = run.end_time ? performance.now() + run.remaining_seconds * 1000 : Infinity;
    countDown(parts);
    const results = run.results;
    const baseline = run.hypothesis ? run.hypothesis.baseline_seconds - run.parameters.duration_seconds + run.remaining_seconds : 0;
    const before = baseline > 0 && pair("Baseline", "nothing is hit for " + Math.ceil(baseline) + " s more");
    const test = results.test && results.test.requests && pair("Calls to the test endpoint", results.test.requests + ", " + results.test.hit + " hit");
    if (!results.requests && !results.died) {
      parts.figures.replaceChildren(...[pair("Requests", "none yet"), before, test].filter(Boolean));
    } else {
      const percent = (share) => (share * 100).toFixed(1) + "\u00a0%";
      const side = (each) => time(each.p50_seconds) + " / " + time(each.p95_seconds);
      parts.figures.replaceChildren(...[
        pair("Requests", results.requests), pair("Hit", results.requests_hit), pair("Untouched", results.requests_untouched),
        pair("Environments", results.environments), pair("Hit, P50 / P95", side(results.hit)), pair("Untouched, P50 / P95", side(results.untouched)),
        results.injected_errors && pair("Injected errors", percent(results.actual_error_rate || 0)),
        results.injected_delay_seconds && pair("Injected delay, total", time(results.injected_delay_seconds)),
        results.held_memory_mb && pair("Held memory, total", results.held_memory_mb + "\u00a0MB"),
        results.died && pair("Never answered", results.died), before, test].filter(Boolean));
    }
    const expected = run.hypothesis;
    parts.verdict.textContent = expected ? "Hypothesis so far: " + verdictOf(expected.verdict) + ". " + unbroken(sidesOf(expected)) : "";
    parts.verdict.className = "verdict " + (expected ? expected.verdict : "");
    parts.verdict.hidden = !expected;
    draw(parts, run);
    if (run.defect) parts.verdict.hidden = false, parts.verdict.textContent += " Defect: " + run.defect;
  }

  /** By this machine's own pace, from what the application said was left: it goes on where nothing answers. */
  function countDown(parts) {
    const left = Math.max(0, (parts.endsAt - performance.now()) / 1000);
    const text = left === Infinity ? "until it is stopped" : left > 0 ? Math.ceil(left) + " s left" : "time is up";
    if (parts.left.textContent !== text) parts.left.textContent = text;
    parts.bar.value = Math.min(left, parts.bar.max);
  }

  function draw(parts, run) {
    const timeline = run.results.timeline || [];
    parts.plot.hidden = timeline.length < 1;
    if (!timeline.length) return;
    const data = [timeline.map((part) => Date.parse(part.at) / 1000), timeline.map((part) => part.untouched_mean_seconds), timeline.map((part) => part.hit_mean_seconds)];
    const last = timeline[timeline.length - 1];
    parts.plot.setAttribute("aria-label", "Mean response times. Latest: hit " + time(last.hit_mean_seconds) + ", untouched " + time(last.untouched_mean_seconds));
    const dark = matchMedia("(prefers-color-scheme: dark)").matches;
    const key = dark + " " + parts.plot.clientWidth;
    const known = state.plots.get(run.run_id);
    if (known && known.key === key) return known.chart.setData(data);
    if (known) { known.chart.destroy(); parts.plot.replaceChildren(); }
    const colour = (name) => getComputedStyle(document.body).getPropertyValue(name).trim();
    const axis = { stroke: colour("--faint"), grid: { stroke: colour("--line"), width: 1 }, ticks: { stroke: colour("--line") } };
    const series = (label, name) => ({ label, stroke: colour(name), width: 2, points: { size: 6 }, spanGaps: true, value: (_chart, value) => time(value) });
    const chart = new uPlot({
      title: "Mean response time", width: parts.plot.clientWidth, height: 190, cursor: { drag: { x: false, y: false } },
      scales: { y: { range: (_chart, _least, most) => [0, most * 1.1 || 1] } },
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

  /** A row is replaced only where its entry has changed: it may have the focus. */
  function showEntries(entries) {
    const shown = new Map();
    for (const entry of entries) {
      const json = JSON.stringify(entry), known = state.entries.get(entry.id);
      shown.set(entry.id, known && known.json === json ? known : { entry, json, row: row(entry) });
    }
    const rows = [...shown.values()].map((each) => each.row);
    const focused = document.activeElement;
    rows.forEach((each, place) => { if ($("history").children[place] !== each) $("history").insertBefore(each, $("history").children[place] || null); });
    while ($("history").children.length > rows.length) $("history").lastChild.remove();
    if (focused && focused.isConnected) focused.focus({ preventScroll: true });
    state.entries = shown;
    $("older").hidden = !state.older;
    $("no-history").hidden = rows.length > 0;
  }

  function row(entry) {
    const run = entry.run;
    const refused = entry.action === "refusal";
    const what = run ? words(run.name) : words(refused ? "refused" + entry.details.endpoint.replace("/", ": ") : entry.action);
    const why = entry.by + (entry.reason ? ": " + entry.reason : "");
    let how = entry.details.name || "";
    if (refused) how = sentence(entry.details.code, entry.experiment, entry.details);
    if (run) {
      const reason = (run.end_reason || "").replace(/^replaced by .*/, "replaced by a new run");
      how = words(run.status) + (run.ended_by ? " by " + run.ended_by : "") + (reason ? ": " + reason : "");
      if (run.status !== "running") how += [hitsOf(run.results), run.hypothesis && "Hypothesis: " + verdictOf(run.hypothesis.verdict), recoveryOf(run.results)].filter(Boolean).map((each) => ". " + each).join("");
    }
    const button = run && make("button", { type: "button", class: "quiet", "aria-label": "Report of " + words(run.name) + ", " + moment(entry.at), on: { click: () => showReport(run) } }, "Report");
    return make("tr", {}, make("td", {}, moment(entry.at)), make("td", {}, what), make("td", {}, why), make("td", {}, how), make("td", {}, button || ""));
  }

  async function showReport(run) {
    try {
      const path = (format) => "report?run_id=" + encodeURIComponent(run.run_id) + "&format=" + format;
      const html = await ask("GET", path("html"), null, true);
      const dialog = $("report");
      dialog.querySelector("iframe").srcdoc = html;
      $("report-title").textContent = "Report of " + words(run.name);
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
        problem.textContent = "The halt is NOT confirmed. " + error.message;
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

  /** One action of a button at a time. An error is shown, the list is read again, and the button keeps the focus. */
  async function acting(button, action) {
    if (button.getAttribute("aria-disabled") === "true") return;
    button.setAttribute("aria-disabled", "true");
    try { notify(""); await action(); } catch (error) { complain(error); }
    button.removeAttribute("aria-disabled");
    await refresh();
  }

  // Words

  /** A parameter's name in words, without the unit that is in it. */
  const labelOf = (field, { unit, label }) => label || words(unit ? field.replace(new RegExp("_" + unit + "$", "i"), "") : field);
  const unitOf = ({ unit = "" }) => ({ percent: "%", share: "" })[unit] ?? unit;
  /** A label within a sentence: "max error rate", but "P95". */
  const inText = (label) => label.replace(/^[A-Z](?=[a-z])/, (letter) => letter.toLowerCase());
  const capital = (text) => text.charAt(0).toUpperCase() + text.slice(1);
  /** Also with a decimal comma, which is all that some phones offer. What is no number is the application's to refuse. */
  const number = (text) => { const read = Number(text.replace(",", ".")); return Number.isNaN(read) ? text : read; };
  const unbroken = (text) => text.replaceAll(" %", "\u00a0%");
  /** The one name that this page has for an experiment, from its name in the API: "Latency injection". */
  const words = (name) => capital(name).replaceAll("_", " ");
  const verdictOf = (verdict) => ({ held: "held", failed: "failed", too_few_requests: "no verdict, not enough requests", cannot_tell: "no verdict" })[verdict] || words(verdict);
  /** Why: of each side by itself, where there are two. */
  const sidesOf = ({ explanation, sides = {} }) => Object.keys(sides).length < 2 ? explanation : Object.entries(sides).map(([side, each]) => words(side) + " requests: " + verdictOf(each.verdict) + ". " + each.explanation).join(" ");
  /** What a run that is over hit; empty where nothing is known. */
  const hitsOf = ({ requests, requests_hit, efficacy, efficacy_explanation }) => efficacy && efficacy !== "confirmed" ? efficacy_explanation.replace(/\.$/, "") : requests ? requests_hit + " of " + requests + " requests hit" : "";
  const recoveryOf = ({ recovery }) => recovery && recovery.recovered_after_seconds != null ? "Recovered after " + time(recovery.recovered_after_seconds) : "";
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
  const bars = new ResizeObserver(clearOfBars);
  bars.observe(document.querySelector("header")); bars.observe($("notice"));
  refresh();
})();
