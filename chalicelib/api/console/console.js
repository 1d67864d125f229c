"use strict";
(() => {
  const BASE = location.pathname.replace(/console\/?$/, "");
  const KEY = "chaos-token " + BASE;
  const BUSY_MS = 1000, IDLE_MS = 5000, PATIENCE_MS = 10000, HISTORY_MS = 30000, NOTICE_MS = 15000, PAGE = 20;
  /** How long nothing is typed before a preview is asked for. */
  const TYPING_MS = 250;
  /** How long after a run's end environments still flush their counts. */
  const FLUSH_MS = 3500;
  /** In place of the ids of what runs: the history has an entry more, even where the next list comes after the run's end. */
  const STARTED = "started";
  const $ = (id) => document.getElementById(id);
  const state = { list: null, plots: new Map(), cards: new Map(), timer: 0, newest: null, loaded: 0, asked: 0, shown: 0, entries: new Map(), schemas: new Map(), loading: false, isWanted: false, viewer: false, maps: new Map(), lines: 0, scenario: [], previews: new Map() };

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
    already_running: ({ title, started_by }) => title + " is already running" + (started_by ? ", started by " + started_by : "") + ". Press Replace to end that run and start a new one.",
    not_running: ({ title }) => title + " is not running any more.",
    too_many_runs: () => "As many runs are active as there can be at once. Stop one of them first.",
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

  function sentence(code, experiment, { message, details = [], started_by, label }) {
    const name = experiment ? words(experiment) : "The experiment", title = experiment ? titleOf({ name: experiment, label }) : name;
    return Object.hasOwn(SENTENCES, code) ? SENTENCES[code]({ name, title, details, started_by }) : message;
  }

  const runWith = (id) => state.list && state.list.active_experiments.find(({ run_id }) => run_id === id);

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
    const about = { ...body, name: body && body.experiment_name, ...runWith(body && body.run_id), ...content.resultset };
    throw new Refusal(sentence(code, about.name, { ...about, message, details: content.details }), answer.status, content);
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
    clearTimeout(state.observing);
    Object.assign(state, { list: null, newest: null, loaded: 0, unreachable: false, viewer: false });
    state.entries.clear();
    document.querySelectorAll("dialog[open]").forEach((dialog) => dialog.close());
    for (const plot of state.plots.values()) plot.chart.destroy();
    state.plots.clear(); state.cards.clear(); state.schemas.clear(); state.maps.clear(); state.previews.clear();
    showScenario(state.scenario = []);
    for (const id of ["running", "scenarios", "experiments", "history", "stops", "called", "dependencies-said"]) $(id).replaceChildren();
    $("called-table").hidden = true;
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
    const asked = ++state.asked;
    try {
      const list = await ask("GET", "list");
      if (!Array.isArray(list?.active_experiments)) throw new Error(OUTDATED);
      if (asked < state.shown) return;  // a list that was asked for later has been answered sooner
      state.shown = asked;
      state.list = list;
      if (state.unreachable) notify("");
      state.unreachable = false;
      state.heard = new Date();
      show();
    } catch (error) {
      if (error instanceof SignedOut || asked < state.shown) return;
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
    $("dependencies").hidden = !$("experiment-" + FAILURE);
    showRunning(list.active_experiments);
    const newest = list.active_experiments.map((run) => run.run_id).join() + (list.halt ? list.halt.halted_at : "");
    if (newest !== state.newest && state.newest !== null) setTimeout(showHistory, FLUSH_MS);
    if (newest !== state.newest) state.previews.forEach((changed) => changed());
    $("start-scenario").disabled = Boolean(blocked());
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
    const add = card.querySelector(".add-to-scenario");
    if (add) add.disabled = Boolean(why);
  }

  function showExperiments(experiments) {
    for (const experiment of experiments) {
      const id = "experiment-" + experiment.name;
      if (!$(id)) $("experiments").append(card(id, experiment));
      explain(id, experiment.parameters.properties);
      permit($(id), inTheWay($(id), experiment.name));
    }
  }

  /** The run that a start by this form would collide with: the one with its label. */
  function inTheWay(card, name) {
    const typed = card.querySelector("form").elements.label, label = (typed && typed.value.trim()) || name;
    return state.list.active_experiments.find((run) => (run.label || run.name) === label);
  }

  function card(id, { name, description, parameters }) {
    const problem = make("p", { class: "problem whole", role: "alert" });
    const form = make("form", { novalidate: true });
    const begin = (restart) => start(name, form, problem, restart);
    form.addEventListener("submit", (event) => { event.preventDefault(); begin(false); });
    form.addEventListener("input", ({ target }) => { if (target.name === "label" && state.list) permit($(id), inTheWay($(id), name)); });
    form.append(make("fieldset", { class: "form" },
      ...group(id, [], parameters.properties),
      ...options(id, name, form).filter(Boolean),
      problem,
      make("div", { class: "actions" },
        make("button", { type: "submit", class: "start", "aria-describedby": id + "-why" }, "Start " + words(name)),
        make("button", { type: "button", class: "replace danger", hidden: true, on: { click: () => begin(true) } }, "Replace " + words(name)),
        hasLabels() ? make("button", { type: "button", class: "add-to-scenario quiet", on: { click: () => addToScenario(name, form) } }, "Add to scenario") : null,
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
    return Object.fromEntries(schemas.filter(([, schema]) => isField(schema) || schema.properties || waysOf(schema)));
  }

  /** The options that say which requests are hit, and how many. They have a group of their own, beside the preview. */
  const AIM = ["target", "first", "sticky", "every", "max_requests", "seed", "ramp_seconds", "propagate", "dry_run"];

  /** Labels, scenarios and the preview came together: an application that does not publish the first has none of them. */
  const hasLabels = () => Boolean(startOptions().label);

  /** The option fields: the general ones, and those by which one aims. */
  function options(card, name, form) {
    const published = Object.entries(startOptions()), aims = ([field]) => AIM.includes(field);
    const rank = ([field]) => AIM.indexOf(field);
    const general = published.filter((each) => !aims(each)), aim = published.filter(aims).sort((one, other) => rank(one) - rank(other));
    const preview = hasLabels() ? previewOf(card, () => content(name, form), form) : null;
    const [inner, single] = [aim.filter(([, schema]) => !isField(schema)), aim.filter(([, schema]) => isField(schema))];
    const fields = make("div", {}, ...[inner, single].flatMap((each) => group(card, [], Object.fromEntries(each))).filter(Boolean));
    return [folded(general, "", ...group(card, [], Object.fromEntries(general))),
      folded(aim, preview ? "Aim and preview: " : "", make("div", { class: preview ? "aim" : null }, fields, preview))];
  }

  /** A group of options that is folded at first; its title lists them. */
  function folded(schemas, title, ...fields) {
    const labels = schemas.map(([field, schema]) => inText(labelOf(field, schema)));
    return labels.length ? make("details", { class: "options" }, make("summary", {}, capital(title + labels.join(", "))), ...fields) : null;
  }

  /** The fields of an object: first its own, then those of the objects in it. Kinds of values that this page does not know are left out. */
  function group(card, path, properties, optional = false) {
    const schemas = Object.entries(properties).map(([field, schema]) => [field, { optional, ...withoutNull(schema) }]);
    const inputs = schemas.filter(([, schema]) => isField(schema)).map(([field, schema]) => input(card, [...path, field], schema));
    const inner = schemas.filter(([, schema]) => schema.properties || waysOf(schema)).map(([field, schema]) => make("fieldset", { class: "inner" },
      make("legend", {}, labelOf(field, schema)), make("p", { class: "hint" }, describe(schema)),
      ...(schema.properties ? group(card, [...path, field], schema.properties, schema.optional) : map(card, [...path, field], schema))));
    return [inputs.length ? make("div", { class: "fields" }, ...inputs) : null, ...inner];
  }

  /** The schema of a value that may be null, for when it is not: it can be left out. */
  function withoutNull({ anyOf = [], ...schema }) {
    const value = anyOf.find(({ type = "null" }) => type !== "null");
    if (!value) return anyOf.length ? { anyOf, ...schema } : schema;
    const has = (...types) => anyOf.some(({ type }) => types.includes(type));
    const isJson = value.type === "string" && has("object", "array");
    return { ...value, ...schema, ...(has("null") ? { optional: true } : {}), ...(isJson ? { isJson } : {}) };
  }

  // Maps: objects with any names, such as headers. Each line has a name, how it is compared, and with what

  /** How conditions are called; one that is not here is called as it is in the API. */
  const WAYS = { equals: "equals", prefix: "starts with", glob: "matches" };
  const FLAGS = { exists: { true: "exists", false: "does not exist" } };

  /** The ways in which a value of a map can be given, by what they are called; null for what is no map of these. */
  function waysOf({ type, additionalProperties, patternProperties = {} }) {
    const values = Object.values(patternProperties)[0] || additionalProperties;
    const ways = type === "object" && values ? new Map(waysIn(values)) : new Map();
    return ways.size ? ways : null;
  }

  function waysIn({ type, properties, anyOf, oneOf, items = {} }) {
    if (properties) return Object.entries(properties).flatMap(([name, schema]) => wayOf(name, withoutNull(schema).type));
    if (anyOf || oneOf) return (anyOf || oneOf).flatMap(waysIn);
    if (type === "array") return waysIn(items);
    return type === "string" ? [[WAYS.equals, { hasValue: true, made: (text) => text }]] : [];
  }

  function wayOf(name, type) {
    if (type === "string" && name === "equals") return [[WAYS.equals, { hasValue: true, made: (text) => text }]];  // shorter, and the same
    if (type === "string") return [[WAYS[name] || words(name), { hasValue: true, made: (text) => ({ [name]: text }) }]];
    const called = FLAGS[name] || { true: words(name), false: words(name) + ": no" };
    return type === "boolean" ? [true, false].map((flag) => [called[flag], { hasValue: false, made: () => ({ [name]: flag }) }]) : [];
  }

  function map(card, path, schema) {
    const id = [card, ...path].join("-"), lines = make("div", { class: "lines", id, "data-path": path.join(".") });
    const label = inText(labelOf(path.at(-1), schema));
    state.maps.set(id, waysOf(schema));
    const add = make("button", { type: "button", class: "quiet add", on: { click: () => lines.appendChild(line(lines, add)).querySelector("input").focus() } }, "Add to " + label);
    return [lines, add];
  }

  function line(lines, add) {
    const id = lines.id + "-" + ++state.lines, ways = state.maps.get(lines.id);
    const field = (part, control) => make("div", { class: part }, make("label", { for: id + "-" + part }, capital(part)), control);
    const text = (part) => make("input", { id: id + "-" + part, type: "text", autocomplete: "off", "aria-describedby": id + "-problem" });
    const how = make("select", { id: id + "-how" }, ...[...ways.keys()].map((way) => make("option", { value: way }, way)));
    const value = field("value", text("value"));
    how.addEventListener("change", () => { value.hidden = !ways.get(how.value).hasValue; });
    const remove = make("button", { type: "button", class: "quiet", "aria-label": "Remove this line", on: { click: () => {
      const form = lines.closest("form"), next = root.nextElementSibling;
      root.remove();
      (next ? next.querySelector("input") : add).focus();
      form.dispatchEvent(new Event("input"));
    } } }, "Remove");
    const root = make("div", { class: "line" }, field("name", text("name")), ways.size > 1 ? field("how", how) : make("div", { hidden: true }, how), value, remove,
      make("p", { class: "problem", id: id + "-problem" }));
    return root;
  }

  const nameIn = (each) => each.querySelector(".name input").value.trim();

  /** What the lines of a map say; undefined if nothing. Of a name that stands in several lines, any may hold. */
  function mapOf(lines) {
    const values = new Map(), ways = state.maps.get(lines.id);
    for (const each of lines.children) {
      const name = nameIn(each), entered = each.querySelector(".value input").value.trim(), way = ways.get(each.querySelector("select").value);
      if (!name && !(way.hasValue && entered)) continue;
      values.set(name, [...(values.get(name) || []), way.made(entered)]);
    }
    return values.size ? Object.fromEntries([...values].map(([name, given]) => [name, given.length > 1 ? given : given[0]])) : undefined;
  }

  const isNumber = ({ type }) => type === "number" || type === "integer";
  const isField = ({ type, items = {} }) => ["number", "integer", "string", "boolean"].includes(type === "array" ? items.type : type);

  /** A control's name is the path of its value. What is optional shows its default as an example, and is sent only where it was changed. */
  function input(card, path, schema) {
    const field = path.at(-1), id = [card, ...path].join("-");
    const described = { id, name: path.join("."), autocomplete: "off", "aria-describedby": id + "-hint " + id + "-problem" };
    const control = schema.enum ? choice(described, schema) : entry(described, schema);
    const unit = unitOf(schema) && unitOf(schema) !== field && " (" + unitOf(schema) + ")";
    state.schemas.set(id, schema);
    return make("div", {}, make("label", { for: id }, labelOf(field, schema) + (unit || "")), control,
      make("p", { class: "hint", id: id + "-hint" }, hint(schema)), make("p", { class: "problem", id: id + "-problem" }));
  }

  /** Entries that may be long have a line each, and then may have commas in them. */
  const hasLines = ({ type, items = {} }) => type === "array" && items.maxLength > 100;

  function entry(described, schema) {
    if (hasLines(schema) || schema.isJson) return make("textarea", { ...described, rows: 2, spellcheck: "false" });
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
      if (!shown) continue;
      const known = withoutNull(schema);
      state.schemas.set(shown.id.replace(/-hint$/, ""), known);
      if (shown.textContent !== hint(known)) shown.textContent = hint(known);
    }
  }

  /** A schema's description. What is a word of the API in it is in words. */
  const describe = ({ description = "" }) => description.replace(/`([^`]+)`/g, (_quoted, name) => name.replaceAll("_", " "));

  function hint(schema) {
    const limited = isNumber(schema) || schema.type === "array" || schema.isJson || (schema.type === "string" && schema.allowed);
    return describe(schema) + (limited ? " " + capital(allowed(schema)) + "." : "");
  }

  /** What a field takes: "a number from 0 to 60". */
  function allowed(schema) {
    const { type, minimum, exclusiveMinimum, maximum, maxLength, maxItems, items = {} } = schema;
    if (schema.enum) return schema.enum.join(" or ");
    if (type === "array") return (maxItems ? "at most " + maxItems + " entries" : "entries") + (items.allowed ? ", each " + items.allowed : items.maxLength ? ", of at most " + items.maxLength + " characters each" : "") + (hasLines(schema) ? ", one in each line" : ", separated by commas");
    if (schema.allowed) return schema.allowed;
    if (!isNumber(schema)) return (schema.not ? "one line" : "text") + (maxLength ? " of at most " + maxLength + " characters" : "") + (schema.isJson ? ", or a JSON object or list" : "");
    const kind = type === "integer" ? "a whole number" : "a number";
    if (minimum !== undefined) return kind + (maximum === undefined ? " of " + minimum + " or more" : " from " + minimum + " to " + maximum);
    const limits = [exclusiveMinimum !== undefined && "above " + exclusiveMinimum, maximum !== undefined && "at most " + maximum];
    return [kind, limits.filter(Boolean).join(" and ")].join(" ").trim();
  }

  /** What has no name is not sent. */
  const CONTROLS = ":is(input, select, textarea)[name]";

  function content(name, form) {
    const body = { experiment_name: name };
    for (const control of form.querySelectorAll(CONTROLS)) {
      const value = valueOf(control);
      if (value !== undefined) put(body, control.name.split("."), value);
    }
    for (const lines of form.querySelectorAll(".lines")) {
      const value = mapOf(lines);
      if (value !== undefined) put(body, lines.dataset.path.split("."), value);
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
    const read = (entry, { type, isJson }) => isNumber({ type }) ? number(entry) : isJson ? textOrJson(entry) : entry;
    return schema.type === "array" ? text.split(hasLines(schema) ? "\n" : ",").map((each) => each.trim()).filter(Boolean).map((each) => read(each, schema.items)) : read(text, schema);
  }

  /** What looks like a JSON object or list, and is one; else the text itself. */
  function textOrJson(text) {
    try { return /^[[{]/.test(text) ? JSON.parse(text) : text; } catch { return text; }
  }

  /** The text beside a control that says what is wrong with it. */
  const problemBeside = (control) => $(control.getAttribute("aria-describedby").split(" ").at(-1));

  function forgetProblems(form) {
    form.querySelector(".whole").textContent = "";
    form.querySelectorAll("[aria-invalid]").forEach((control) => { control.removeAttribute("aria-invalid"); problemBeside(control).textContent = ""; });
  }

  async function start(name, form, problem, restart) {
    forgetProblems(form);
    let run;
    await acting(form.querySelector(restart ? ".replace" : ".start"), async () => {
      try {
        run = await ask("POST", "start", { ...content(name, form), ...(restart ? { [RESTART]: true } : {}) });
        state.newest = STARTED;
      } catch (error) {
        if (error instanceof SignedOut || CONFLICTS.includes(error.code)) throw error;
        problem.textContent = showProblems(form, error);
      }
    });
    const card = run && state.cards.get(run.run_id);
    if (!card || hasLeft(form.closest("details"))) return;
    clearOfBars();
    card.root.scrollIntoView({ block: "start" });
    card.root.focus({ preventScroll: true });
  }

  /** Whoever went on to something else while an answer was under way stays there: no focus is taken, nothing is scrolled. */
  const hasLeft = (place) => document.activeElement !== document.body && !place.contains(document.activeElement);

  /** What is scrolled to or focused is not to be under the bar or the notice, whose heights vary. */
  function clearOfBars() {
    const room = (bar) => bar.offsetHeight + 8 + "px", { style } = document.documentElement;
    style.scrollPaddingTop = room(document.querySelector("header"));
    style.scrollPaddingBottom = room($("notice"));
  }

  /** What the next list says beside the buttons, too. */
  const CONFLICTS = ["already_running", "too_many_runs", "halted", "production_locked", "forbidden"];

  /** The control of a field; of an object the first one in it. */
  const controlOf = (form, field) => [...form.querySelectorAll(CONTROLS)].find(({ name }) => name === field || name.startsWith(field + "."));

  /** What is wrong with several fields together, by the API's word for it: where to show it, and in which words. */
  const TOGETHER = {
    no_untouched_requests: () => ({ field: "percentage", text: "The run hits every request, so none is left for the hypothesis. Enter a lower percentage, such as 20, or choose Hit as judged requests." }),
    no_time_to_hit: ({ field }) => field === "ramp_seconds" ? { field, text: "The ramp must not be longer than the duration, less the baseline: else the run is over before the share has grown." }
      : { field: "hypothesis.baseline_seconds", text: "The baseline must be shorter than the duration: nothing is hit before it is over." },
    no_hit_requests: () => ({ field: "hypothesis.of", text: "A dry run hits no request, so none can be judged. Choose Untouched, or leave out Dry run." }),
    taken_label: ({ field }) => ({ field, text: "Another run of the scenario, or another experiment, has this name. Choose a label of its own." }),
  };

  function problemOf(control, field) {
    const schema = state.schemas.get(control.id), entered = control.value.trim();
    if (control.name !== field) return "Fill in " + lacking(schemaAt(field.split("."))) + ".";
    return labelOf(field.split(".").at(-1), schema) + " must be " + allowed(schema) + (entered ? "; you entered “" + entered.slice(0, 40) + "”." : ".");
  }

  /** What is published for an option, or a field in it. */
  const schemaAt = ([option, ...path]) => path.reduce((schema, field) => withoutNull(schema?.properties?.[field] || {}), startOptions()[option]);

  /** What an object cannot be without: "the max error rate or the P95 response time". */
  function lacking({ properties = {}, anyOf = [], oneOf = anyOf } = {}) {
    const label = (field) => "the " + inText(labelOf(field, withoutNull(properties[field] || {})));
    return oneOf.map(({ required = [] }) => required.map(label).join(" and ")).filter(Boolean).join(" or ") || "these fields";
  }

  /** A problem with several fields together, in words of this page. */
  const together = (detail) => Object.hasOwn(TOGETHER, detail.kind ?? "") ? TOGETHER[detail.kind](detail) : detail;

  /** The control that a problem is about, and the problem in words. */
  function located(form, problem) {
    const detail = together(problem), named = lineOf(form, String(detail.field)), why = whyIn(detail);
    if (named) return { control: named, text: [nameIn(named.closest(".line")), why || detail.problem + "."].filter(Boolean).join(": ") };
    const field = String(detail.field).replace(/[.[]\d.*$/, "");
    const control = controlOf(form, field);
    const label = labelOf(field.split(".").at(-1), schemaOf(field));
    return control ? { control, text: detail.text || (why ? label + ": " + why : refusalIn(label, detail) || problemOf(control, field)) } : {};
  }

  /** What an experiment says against a value that its field allows, with the names of fields in words; empty if nothing. */
  const refusalIn = (label, { kind, problem }) => kind === "refused" ? label + " " + problem.replace(/\b[a-z0-9]+(_[a-z0-9]+)+\b/g, (name) => name.replaceAll("_", " ")) + "." : "";

  /** What a problem says after what was sent: what is wrong with it, and what to do; empty if nothing. */
  function whyIn({ problem = "" }) {
    const [, why] = /; got (?:the string )?(?:"(?:[^"\\]|\\.)*"|[^":]*)(?: as item \d+)?: (.*)$/s.exec(problem) || [];
    return why ? why.replaceAll('send {"exists": true}', "choose “exists”") + "." : "";
  }

  /** The line of a map with that name in it; else its first one. */
  function lineOf(form, field) {
    const lines = [...form.querySelectorAll(".lines")].find(({ dataset: { path } }) => field === path || field.startsWith(path + "."));
    if (!lines) return null;
    const name = field.slice(lines.dataset.path.length + 1);
    const is = (each) => nameIn(each) === name || name.startsWith(nameIn(each) + ".");
    return ([...lines.children].find(is) || lines.firstChild)?.querySelector("input");
  }

  /** Puts each problem beside its field, and the focus on the first one. Returns what is left to say of the form as a whole. */
  function showProblems(form, error) {
    const alarm = /alarm/.test(error.code) ? [{ field: "alarms", text: error.message }] : [];
    const wrong = [], rest = [];
    for (const detail of [...error.details, ...alarm]) {
      const { control, text } = located(form, detail);
      if (!control) { rest.push(detail); continue; }
      control.setAttribute("aria-invalid", "true");
      problemBeside(control).textContent = text;
      (control.closest("details:not(.card)") || {}).open = true;
      wrong.push(control);
    }
    if (!wrong.length) return error.message;
    if (!hasLeft(form.closest("details"))) wrong[0].focus();
    const marked = wrong.length === 1 ? "Not started. Correct the marked field." : "Not started. Correct the " + wrong.length + " marked fields.";
    return [marked, rest.length ? SENTENCES.invalid_parameters({ details: rest }) : ""].join(" ").trim();
  }

  // Previews: what would become of a request that is typed. Nothing is started by them, and nothing is counted

  /** The preview of a start, beside its form: `body` is what would be started. */
  function previewOf(card, body, form) {
    const pane = preview(card + "-preview", body, (error) => problemsIn(form, error));
    form.addEventListener("input", pane.changed);
    form.addEventListener("change", pane.changed);
    form.addEventListener("toggle", pane.changed, true);
    return make("section", { class: "preview", "aria-labelledby": card + "-preview-title" }, make("h3", { id: card + "-preview-title" }, "Would this request be hit?"), pane.root);
  }

  function previewOfRun(id, { run_id }) {
    const pane = preview(id + "-preview", () => ({ run_id }), (error) => error.message);
    return make("details", { class: "preview", on: { toggle: pane.changed, input: pane.changed } }, make("summary", {}, "Would a request be hit?"), pane.root);
  }

  /** What is wrong with a form, while somebody still fills it in. */
  function problemsIn(form, error) {
    const texts = error.details.map((detail) => {
      const { control, text } = located(form, detail);
      return control ? text : words(String(detail.field).replace("request.", "")) + " must be " + detail.allowed + ".";
    });
    return texts.length ? "No preview yet. " + texts.join(" ") : error.message;
  }

  /**
   * The fields of a request, and what would become of it. It asks when nothing has been typed for a moment, one question at a time;
   * an answer that something was typed after is dropped.
   */
  function preview(id, body, explained) {
    const said = make("p", { class: "said", role: "status" }), found = make("div", { class: "found" });
    const field = (name, label, tag, attributes, hint) => make("div", { class: name }, make("label", { for: id + "-" + name }, label),
      make(tag, { id: id + "-" + name, autocomplete: "off", spellcheck: "false", "aria-describedby": hint ? id + "-" + name + "-hint" : null, ...attributes }),
      hint ? make("p", { class: "hint", id: id + "-" + name + "-hint" }, hint) : null);
    const root = make("div", {}, make("div", { class: "request" },
      field("method", "Method", "input", { type: "text", value: "GET", maxlength: 20 }),
      field("path", "Path and query", "input", { type: "text", value: "/", inputmode: "url" }, "Such as /orders/1?debug=1."),
      field("headers", "Request headers", "textarea", { rows: 2, placeholder: "x-tenant: acme" }, "One in each line: name, colon, value."),
      startOptions().target?.properties?.functions ? field("function", "Lambda function", "input", { type: "text" }, "Empty if it is not known.") : null), said, found);
    let typed = 0, timer = 0, asking = false;
    async function look() {
      timer = 0;
      if (asking || !root.isConnected || !root.checkVisibility() || !state.list) return;
      const asked = typed;
      asking = true;
      let answer;
      try { answer = await ask("POST", "preview", { ...body(), request: requestIn(root) }); } catch (error) { answer = error; }
      asking = false;
      if (answer instanceof SignedOut) return;
      if (asked !== typed) { if (!timer) look(); return; }
      if (["unknown_endpoint", "method_not_allowed"].includes(answer.code)) return root.parentElement.remove();
      root.dataset.verdict = answer instanceof Error ? "unknown" : verdictIn(answer);
      const text = answer instanceof Error ? explained(answer) : sentenceOf(answer);
      if (said.textContent !== text) said.textContent = text;
      found.replaceChildren(...(answer instanceof Error ? [] : findings(answer, body())));
    }
    const changed = () => { typed++; clearTimeout(timer); timer = setTimeout(look, TYPING_MS); };
    state.previews.set(id, changed);
    return { root, changed };
  }

  /** The request that is typed. Blanks around its parts are not meant. */
  function requestIn(root) {
    const typed = (name) => root.querySelector("." + name + " :is(input, textarea)")?.value.trim() || "";
    const [path, ...query] = typed("path").split("?"), request = { method: typed("method").toUpperCase() || "GET", path: decoded(path) || "/", headers: {}, query: {} };
    for (const line of typed("headers").split("\n").filter((each) => each.trim())) {
      const [name, ...value] = line.split(":");
      set(request.headers, name.trim(), value.join(":").trim());
    }
    for (const [name, value] of new URLSearchParams(query.join("?"))) set(request.query, name, Object.hasOwn(request.query, name) ? [request.query[name], value].flat() : value);
    return typed("function") ? { ...request, function: typed("function") } : request;
  }

  /** Also for the name __proto__, which an assignment would not set. */
  const set = (object, name, value) => Object.defineProperty(object, name, { value, enumerable: true, writable: true, configurable: true });
  const decoded = (path) => { try { return decodeURIComponent(path); } catch { return path; } };

  const verdictIn = ({ would_hit }) => would_hit === true || would_hit === 1 ? "hit" : would_hit === false || would_hit === 0 ? "not" : typeof would_hit === "number" ? "perhaps" : "unknown";
  const percent = (share) => Number((share * 100).toPrecision(3)) + "\u00a0%";

  function sentenceOf(answer) {
    const chances = { hit: () => "would be hit", not: () => "would not be hit", perhaps: () => "is hit with a probability of " + percent(answer.would_hit), unknown: () => "may be hit" };
    const dry = answer.dry_run && verdictIn(answer) !== "not" ? " It is a dry run: the request would only be counted and marked." : "";
    const refused = answer.refused && answer.refused.length ? " But a start would be refused." : "";
    if (answer.applies_to === "dependency") return callsIn(answer) + dry + refused;
    return "This request " + chances[verdictIn(answer)]() + "." + dry + refused;
  }

  /** Of a run about outgoing calls: whether a request makes any, nobody knows. */
  function callsIn(answer) {
    const { allowed = "the dependency" } = answer.criteria.find(({ name }) => name === "dependency") || {};
    const chances = { hit: "is hit", not: "is not hit", perhaps: "is hit with a probability of " + percent(answer.would_hit) };
    return "A call to " + allowed + " that is made for this request " + chances[verdictIn(answer)] + ".";
  }

  function findings({ criteria = [], faults = [], refused = [] }, { experiment_name, label }) {
    const list = (title, name, lines) => lines.length ? [make("h4", {}, title), make("ul", { class: name }, ...lines)] : [];
    return [
      ...list("A start would be refused", "refused", refused.map((each) => make("li", {}, sentence(each.code, experiment_name, { ...each, label })))),
      ...list("What decides", "criteria", criteria.map(criterion)),
      ...list("What a hit request meets", "faults", faults.map((each) => make("li", {}, faultIn(each)))),
    ];
  }

  /** A tick, a cross, or how likely it is; and what was seen. */
  function criterion({ name, allowed, seen, passes, probability }) {
    const [kind, mark, said] = passes === true ? ["yes", "\u2713", "Passes"] : passes === false ? ["no", "\u2717", "Does not pass"] : ["open", probability == null ? "?" : "~", "Not certain"];
    const isThere = seen != null && seen.length !== 0;
    const chance = passes != null ? "" : probability == null ? "; whether it passes is not known beforehand" : ", with a probability of " + percent(probability);
    return make("li", { class: kind }, make("span", { class: "mark", "aria-hidden": "true" }, mark), make("span", { class: "unseen" }, said + ": "),
      make("span", {}, make("strong", {}, criterionName(name)), " " + allowedIn(name, allowed) + chance, isThere ? make("span", { class: "faint" }, " \u2013 seen: " + seenIn(name, seen)) : passes === false ? make("span", { class: "faint" }, " \u2013 not there") : null));
  }

  /** "target.headers.x-tenant" in words: "Headers: x-tenant". */
  function criterionName(name) {
    const [option, field, ...inner] = name.split(".");
    if (!field) return ALLOWED[name]?.name || labelOf(option, schemaOf(name));
    const label = labelOf(field, schemaOf(option + "." + field));
    return [option === "target" ? label : words(option) + ", " + inText(label), ...(inner.length ? [inner.join(".")] : [])].join(": ");
  }

  /** What decides beside the options: how it is called, and what it allows. */
  const ALLOWED = {
    excluded: { name: "Not excluded", text: ({ not = [] }) => not.length ? "(by " + not.join(", ") + ")" : "" },
    active: { name: "Active now", text: ({ from, until }) => [from && "from " + moment(from), until && "until " + moment(until)].filter(Boolean).join(" ") },
    faults: { name: "Shares of the faults", text: ({ shares = [] }) => shares.map(percent).join(", ") },
    permitted: { name: "Permitted in this stage", text: () => "" },
  };

  function allowedIn(name, allowed) {
    if (Object.hasOwn(ALLOWED, name)) return ALLOWED[name].text(allowed);
    if (name.split(".").length > 2) return condition(allowed);
    const schema = schemaOf(name);
    return inWords(allowed, schema) + (unitOf(schema) && typeof allowed === "number" ? "\u00a0" + unitOf(schema) : "");
  }

  /** What is published for what decides: an option, a field in it, or a parameter that experiments have. */
  function schemaOf(name) {
    const owner = state.list.available_experiments.find(({ parameters }) => Object.hasOwn(parameters.properties, name));
    return owner ? withoutNull(owner.parameters.properties[name]) : schemaAt(name.split(".")) || {};
  }

  /** When what was seen is a time, it is shown as one. */
  const seenIn = (name, seen) => name === "active" ? moment(seen) : inWords(seen);

  function faultIn({ kind, share, ...more }) {
    const rest = Object.entries(more).filter(([, value]) => value != null && value !== "").map(([name, value]) => labelled(name, value, schemaOf(name)));
    return [words(kind) + (share != null && share < 1 ? " (" + percent(share) + " of the hits)" : ""), ...rest].join(", ");
  }

  // A scenario: several experiments that are started together, all or none

  function addToScenario(name, form) {
    forgetProblems(form);
    state.scenario.push(content(name, form));
    showScenario(state.scenario);
    $("scenario-problem").textContent = "";
  }

  function showScenario(starts) {
    const forget = (place) => { state.scenario.splice(place, 1); showScenario(state.scenario); ($("scenario-list").children[place]?.querySelector("button") || (state.scenario.length ? $("start-scenario") : $("experiments-title"))).focus(); };
    $("scenario-list").replaceChildren(...starts.map((body, place) => {
      const { experiment_name: name, label, ...rest } = body, title = titleOf({ name, label });
      const options = startOptions(), parameters = Object.fromEntries(Object.entries(rest).filter(([field]) => !Object.hasOwn(options, field)));
      return make("li", {}, make("strong", {}, title), " ", make("span", { class: "faint" }, [parametersOf(name, parameters), aimOf(body)].filter(Boolean).join(". ") + " "),
        make("button", { type: "button", class: "quiet", "aria-label": "Remove " + title + " from the scenario", on: { click: () => forget(place) } }, "Remove"));
    }));
    $("scenario").hidden = !starts.length;
    document.querySelectorAll(".add-to-scenario").forEach((button) => { button.textContent = "Add to scenario" + (starts.length ? " (" + starts.length + " in it)" : ""); });
    const count = starts.length === 1 ? "1 experiment is" : starts.length + " experiments are";
    $("scenario-count").textContent = starts.length ? count + " in the scenario. All are started together, or none." : "";
  }

  async function startScenario() {
    const problem = $("scenario-problem");
    problem.textContent = "";
    let answer;
    await acting($("start-scenario"), async () => {
      try {
        answer = await ask("POST", "start", { experiments: state.scenario });
        state.newest = STARTED;
      } catch (error) {
        if (error instanceof SignedOut) throw error;
        problem.textContent = "Not started. " + scenarioProblems(error);
      }
    });
    if (!answer) return;
    const left = hasLeft($("scenario"));
    showScenario(state.scenario = []);
    if (left) return;
    clearOfBars();
    $("running-title").scrollIntoView({ block: "start" });
    $("running-title").focus({ preventScroll: true });
  }

  /** Each problem with the experiment that has it. */
  function scenarioProblems(error) {
    const texts = error.details.map((detail) => {
      const [, place, field] = /^experiments\.(\d+)\.?(.*)$/.exec(detail.field) || [], start = state.scenario[place];
      const text = together({ ...detail, field }).text || (whyIn(detail) ? words(field + ": " + whyIn(detail)) : words(field + " must be " + detail.allowed + "."));
      return start ? titleOf({ name: start.experiment_name, label: start.label }) + ": " + text : "";
    }).filter(Boolean);
    return texts.join(" ") || error.message.replace(/ Press Replace .*/, " Stop that run, or choose another label.");
  }

  // Dependencies: what the application calls. Asking makes its processes observe it, so it is asked for by a button, and for a while

  const FAILURE = "dependency_failure", CALLED_MS = 2000, OBSERVED_MS = 60000;

  async function askDependencies() {
    const button = $("ask-dependencies"), until = Date.now() + OBSERVED_MS;
    clearTimeout(state.observing);
    await acting(button, () => observe(until));
  }

  async function observe(until) {
    const token = sessionStorage.getItem(KEY);
    let again = true;
    try {
      showCalled(await ask("GET", "dependencies"));
    } catch (error) {
      again = error.status !== 401 && token === sessionStorage.getItem(KEY);
      throw error;
    } finally {
      if (again && Date.now() < until) state.observing = setTimeout(() => observe(until).catch(complain), CALLED_MS);
    }
  }

  function showCalled({ observed_until, dependencies }) {
    const said = (dependencies.length ? "" : "No outgoing call has been seen yet. Send requests to the application. ") + "Observed until " + new Date(observed_until).toLocaleTimeString() + ".";
    if ($("dependencies-said").textContent !== said) $("dependencies-said").textContent = said;
    const focused = document.activeElement.closest("#called tr")?.dataset.row, rows = dependencies.map(called);
    $("called").replaceChildren(...rows);
    rows.find((row) => row.dataset.row === focused)?.querySelector("button")?.focus({ preventScroll: true });
    $("called-table").hidden = !dependencies.length;
  }

  function called({ client, dependency, calls, errors, p50_seconds, p95_seconds, faults, note }) {
    const cell = (label, text) => make("td", { "data-label": label }, String(text));
    const names = faults.map(words).map(inText);
    const fail = names.length ? make("button", { type: "button", class: "quiet", "aria-label": "Start a failure of " + dependency, on: { click: () => openFailure(dependency, faults) } }, "Start a failure") : null;
    return make("tr", { "data-row": client + " " + dependency }, make("td", {}, make("strong", {}, dependency || "–")), cell("Client", client), cell("Calls", calls), cell("Errors", errors),
      cell("P50", time(p50_seconds)), cell("P95", time(p95_seconds)), cell("Faults that reach it", note || capital(names.join(", ")) || "None"), make("td", {}, fail));
  }

  /** The form of the experiment, with the dependency filled in, and a fault that reaches it. */
  function openFailure(dependency, faults) {
    const card = $("experiment-" + FAILURE), form = card.querySelector("form"), { dependency: named, fault } = form.elements;
    card.open = true;
    named.value = dependency;
    if (fault && !faults.includes(fault.value)) fault.value = faults[0];
    form.dispatchEvent(new Event("input"));
    clearOfBars();
    card.scrollIntoView({ block: "start" });
    (named.matches(":disabled") ? card.querySelector("summary") : named).focus({ preventScroll: true });
  }

  // What runs

  function showRunning(runs) {
    const ids = new Set(runs.map((run) => run.run_id));
    for (const [id, element] of state.cards) {
      if (ids.has(id)) continue;
      leave(element.root, $("running-title")); state.cards.delete(id);
      state.previews.delete("run-" + id + "-preview");
      if (state.plots.has(id)) { state.plots.get(id).chart.destroy(); state.plots.delete(id); }
    }
    showStops(runs);
    showScenarios(runs);
    for (const run of runs) {
      if (!state.cards.has(run.run_id)) state.cards.set(run.run_id, runCard(run));
      fill(state.cards.get(run.run_id), run);
    }
    $("nothing").hidden = runs.length > 0;
    $("nothing").textContent = "Nothing is running." + (blocked() ? "" : " Start an experiment below. It ends on its own when its time is up.");
  }

  /** In the bar that is always there, wherever one has scrolled to. */
  function showStops(runs) {
    const shown = new Set(runs.map((run) => "stop-" + run.run_id));
    for (const button of [...$("stops").children]) if (!shown.has(button.id)) leave(button, $("halt"));
    for (const run of runs) {
      if ($("stop-" + run.run_id)) continue;
      const button = make("button", { type: "button", id: "stop-" + run.run_id, on: { click: () => stop(button, run) } }, "Stop " + titleOf(run));
      $("stops").append(button);
    }
  }

  /** A browser scrolls to what has the focus only where nothing of it is in sight. A press stays where it is: it would miss. */
  function showWhole({ target }) {
    if (!target.matches(":focus-visible")) return;
    const bar = $("stops"), seen = bar.getBoundingClientRect(), { left, right, top, bottom } = target.getBoundingClientRect();
    bar.scrollBy(Math.min(0, left - seen.left) || Math.max(0, right - seen.right), Math.min(0, top - seen.top) || Math.max(0, bottom - seen.bottom));
  }

  /** By its id: another run of the experiment goes on. Where runs have no label, an experiment has one run. */
  const stop = (button, run) => acting(button, () => ask("POST", "stop", run.label ? { run_id: run.run_id } : { experiment_name: run.name }));

  /** What was started together and still runs: ended by one button. */
  function showScenarios(runs) {
    const members = new Map();
    for (const run of runs) if (run.scenario) members.set(run.scenario, [...(members.get(run.scenario) || []), run]);
    for (const shown of [...$("scenarios").children]) if (!members.has(shown.dataset.scenario)) leave(shown, $("running-title"));
    for (const [scenario, together] of members) {
      const shown = [...$("scenarios").children].find((each) => each.dataset.scenario === scenario) || $("scenarios").appendChild(scenarioOf(scenario));
      const text = "Started together: " + together.map(titleOf).join(", ") + ".";
      if (shown.firstChild.textContent !== text) shown.firstChild.textContent = text;
    }
  }

  function scenarioOf(scenario) {
    const button = make("button", { type: "button", class: "danger", on: { click: () => acting(button, () => ask("POST", "stop", { scenario })) } }, "Stop the scenario");
    return make("div", { class: "run-head card", "data-scenario": scenario }, make("p"), button);
  }

  /** An element that is removed hands the focus on; the page scrolls only where the element was in sight. */
  function leave(element, next) {
    const focused = element.contains(document.activeElement);
    const { top, bottom } = element.getBoundingClientRect();
    element.remove();
    if (focused) next.focus({ preventScroll: bottom < 0 || top > innerHeight });
  }

  function runCard(run) {
    const title = "run-" + run.run_id, called = titleOf(run);
    const parts = {
      left: make("span", { class: "left" }), bar: make("progress", { max: run.parameters.duration_seconds || run.remaining_seconds || 1, "aria-label": "Time left of " + called }),
      figures: make("dl"), verdict: make("p", { class: "verdict" }), audit: make("ul", { class: "audit", "aria-label": "Retries and time-outs" }), plot: make("div", { class: "plot", role: "img" }),
      stop: make("button", { type: "button", class: "danger" }, "Stop " + called),
    };
    parts.stop.addEventListener("click", () => stop(parts.stop, run));
    const why = (run.reason ? ": " + run.reason : "") + (run.alarms.length ? ". Ends when one of these alarms fires: " + run.alarms.join(", ") : "");
    parts.root = make("article", { class: "card", "aria-labelledby": title, tabindex: -1 },
      make("div", { class: "run-head" }, make("h3", { id: title }, called, run.dry_run ? make("span", { class: "dry" }, "Dry run") : null), parts.left, parts.stop),
      parts.bar, make("p", { class: "faint" }, parametersOf(run.name, run.parameters)), make("p", { class: "faint aims" }, aimOf(run)),
      make("p", { class: "faint" }, "Started by " + (run.started_by || "somebody") + why),
      parts.figures, parts.verdict, parts.audit, parts.plot, hasLabels() ? previewOfRun(title, run) : null);
    $("running").append(parts.root);
    return parts;
  }

  /** The parameters of a start in words: "Delay: 2 seconds, Percentage: 50 %". */
  function parametersOf(experiment, parameters) {
    const properties = state.list.available_experiments.find((each) => each.name === experiment)?.parameters.properties || {};
    return Object.entries(parameters).filter(([, value]) => value !== null).map(([name, value]) => labelled(name, value, withoutNull(properties[name] || {}))).join(", ");
  }

  /** The options by which a run aims, in words; only those that were chosen. */
  function aimOf(run) {
    const schemas = startOptions();
    const chosen = AIM.filter((name) => run[name] != null && run[name] !== false && name !== "dry_run");
    const dry = run.dry_run ? ["Dry run: nothing is done to requests, they are counted and marked"] : [];
    const target = chosen.includes("target") ? Object.entries(run.target).map(([name, value]) => labelled(name, value, schemas.target?.properties?.[name] || {})) : [];
    return [...dry, ...target, ...chosen.filter((name) => name !== "target").map((name) => labelled(name, run[name], schemas[name] || {}))].join(". ");
  }

  const labelled = (name, value, schema) => labelOf(name, schema) + ": " + inWords(value, schema) + (unitOf(schema) && unitOf(schema) !== name ? "\u00a0" + unitOf(schema) : "");

  /** A value of the API in words: of a map with its conditions, of other objects with the names of their fields. */
  function inWords(value, schema = {}) {
    if (value == null) return "none";
    if (schema.isJson && typeof value === "object") return JSON.stringify(value);
    if (Array.isArray(value)) return value.map((each) => inWords(each)).join(" or ") || "none";
    if (typeof value !== "object") return { true: "yes", false: "no" }[value] || String(value);
    const { properties = {} } = schema;
    const ways = waysOf(schema);
    const entry = ([name, inner]) => ways ? name + (ways.size > 1 ? " " + condition(inner) : ": " + inner) : inText(labelOf(name, properties[name] || {})) + " " + inWords(inner, withoutNull(properties[name] || {}));
    return Object.entries(value).map(entry).join(", ");
  }

  /** How a header or a value of the query is compared: "starts with curl/". */
  function condition(given) {
    if (Array.isArray(given)) return given.map(condition).join(" or ");
    if (given === null || typeof given !== "object") return WAYS.equals + " " + given;
    return Object.entries(given).map(([name, value]) => FLAGS[name]?.[value] || (WAYS[name] || words(name)) + " " + value).join(", ");
  }

  function fill(parts, run) {
    parts.endsAt = run.end_time ? performance.now() + run.remaining_seconds * 1000 : Infinity;
    countDown(parts);
    const results = run.results;
    const baseline = run.hypothesis ? run.hypothesis.baseline_seconds - run.parameters.duration_seconds + run.remaining_seconds : 0;
    const before = baseline > 0 && pair("Baseline", "nothing is hit for " + Math.ceil(baseline) + " s more");
    const counted = (name, value) => value != null && pair(name, value);
    const aimed = [counted(results.dependencies ? "Calls matched" : "Matched the target", results.matched), counted(results.dependencies ? "Calls that would be hit" : "Would be hit", run.dry_run ? results.would_hit : null), results.without_key && pair("Without a key", results.without_key)];
    const dependencies = (results.dependencies || []).map((each) => pair(each.name + (each.client ? ", " + each.client : ""), callsOf(each)));
    const unreached = results.unreached && pair("Could not be made to fail", results.unreached);
    const test = results.test && results.test.requests && pair("Calls to the test endpoint", results.test.requests + ", " + results.test.hit + " hit");
    if (!results.requests && !results.died) {
      parts.figures.replaceChildren(...[pair("Requests", "none yet"), before, ...aimed, unreached, ...dependencies, test].filter(Boolean));
    } else {
      const percent = (share) => (share * 100).toFixed(1) + "\u00a0%";
      const side = (each) => time(each.p50_seconds) + " / " + time(each.p95_seconds);
      parts.figures.replaceChildren(...[
        pair("Requests", results.requests), pair("Hit", results.requests_hit), pair("Untouched", results.requests_untouched),
        pair("Environments", results.environments), pair("Hit, P50 / P95", side(results.hit)), pair("Untouched, P50 / P95", side(results.untouched)),
        ...aimed, results.injected_errors && pair("Injected errors", percent(results.actual_error_rate || 0)),
        results.injected_delay_seconds && pair("Injected delay, total", time(results.injected_delay_seconds)),
        results.held_memory_mb && pair("Held memory, total", results.held_memory_mb + "\u00a0MB"),
        results.died && pair("Never answered", results.died), before, unreached, ...dependencies, test].filter(Boolean));
    }
    const expected = run.hypothesis;
    parts.verdict.textContent = expected ? "Hypothesis so far: " + verdictOf(expected.verdict) + ". " + unbroken(sidesOf(expected)) : "";
    parts.verdict.className = "verdict " + (expected ? expected.verdict : "");
    parts.verdict.hidden = !expected;
    const found = results.audit || [];
    parts.audit.replaceChildren(...found.map((each) => make("li", {}, auditOf(each))));
    parts.audit.hidden = !found.length;
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
    if (!state.list) return;
    if (state.loading) { state.isWanted = true; return; }
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
    loaded();
  }

  async function showOlder() {
    if (state.loading) return;
    state.loading = true;
    try {
      const page = await ask("GET", "history?limit=" + PAGE + "&before=" + encodeURIComponent(state.older));
      state.older = page.next;
      showEntries([...[...state.entries.values()].map(({ entry }) => entry), ...page.entries]);
    } catch (error) { complain(error); }
    loaded();
  }

  /** One page at a time; a newest one that was wanted meanwhile comes after it. */
  function loaded() {
    state.loading = false;
    if (!state.isWanted) return;
    state.isWanted = false;
    showHistory();
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
    const what = run ? titleOf(run) + (run.dry_run ? " (dry run)" : "") : words(refused ? "refused" + entry.details.endpoint.replace("/", ": ") : entry.action);
    const why = entry.by + (entry.reason ? ": " + entry.reason : "");
    let how = entry.details.name || "";
    if (refused) how = sentence(entry.details.code, entry.experiment, entry.details);
    if (run) {
      const reason = (run.end_reason || "").replace(/^replaced by .*/, "replaced by a new run");
      how = words(run.status) + (run.ended_by ? " by " + run.ended_by : "") + (reason ? ": " + reason : "");
      if (run.status !== "running") how += [wouldOf(run) || hitsOf(run.results), run.hypothesis && "Hypothesis: " + verdictOf(run.hypothesis.verdict), recoveryOf(run.results)].filter(Boolean).map((each) => ". " + each).join("");
    }
    const button = run && make("button", { type: "button", class: "quiet", "aria-label": "Report of " + titleOf(run) + ", " + moment(entry.at), on: { click: () => showReport(run) } }, "Report");
    return make("tr", {}, make("td", {}, moment(entry.at)), make("td", {}, what), make("td", {}, why), make("td", {}, how), make("td", {}, button || ""));
  }

  async function showReport(run) {
    try {
      const path = (format) => "report?run_id=" + encodeURIComponent(run.run_id) + "&format=" + format;
      const html = await ask("GET", path("html"), null, true);
      const dialog = $("report");
      dialog.querySelector("iframe").srcdoc = html;
      $("report-title").textContent = "Report of " + titleOf(run);
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
    if (state.list && state.list.halt && !hasLeft($("halt"))) $("resume").focus();
  }

  async function resume() {
    await acting($("resume"), () => ask("POST", "resume", {}));
    if (state.list && !state.list.halt && !hasLeft($("resume"))) $("halt").focus();
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
  /** What a run is called: by its experiment, and by its label where it was given one. */
  const titleOf = ({ name, label }) => words(name) + (label && label !== name ? ": " + label : "");
  const verdictOf = (verdict) => ({ held: "held", failed: "failed", too_few_requests: "no verdict, not enough requests", cannot_tell: "no verdict" })[verdict] || words(verdict);
  /** Why: of each side by itself, where there are two. */
  /** What is wrong with the retries or the time-outs of an outgoing call, where, and what to do about it. */
  const auditOf = ({ finding, place, client, dependency, explanation, remedy }) => words(finding) + ", " + (place || "unknown place") + ", " + client + " to " + dependency + ": " + explanation + " " + remedy;

  const sidesOf = ({ explanation, sides = {} }) => Object.keys(sides).length < 2 ? explanation : Object.entries(sides).map(([side, each]) => words(side) + " requests: " + verdictOf(each.verdict) + ". " + each.explanation).join(" ");
  /** What a run that is over hit; empty where nothing is known. */
  const hitsOf = ({ requests, requests_hit, efficacy, efficacy_explanation }) => efficacy && efficacy !== "confirmed" ? efficacy_explanation.replace(/\.$/, "") : requests ? requests_hit + " of " + requests + " requests hit" : "";
  /** What came of the calls to one dependency, and of the requests that made them. */
  function callsOf({ calls, calls_hit, errors, requests, calls_per_request, amplification, survived, degraded, failed, effective_error_rate }) {
    const attempts = calls_per_request.hit == null ? "" : Number(calls_per_request.hit.toPrecision(3)) + " calls a request" + (amplification == null ? "" : " (" + Number(amplification.toPrecision(3)) + " times as many as usual)");
    const ends = requests.hit ? survived + " survived, " + degraded + " degraded, " + failed + " failed: effective error rate " + percent(effective_error_rate) : "";
    return [calls + " calls, " + calls_hit + " hit, " + errors + " failed", attempts, ends].filter(Boolean).join("; ");
  }
  /** What a dry run that is over would have hit. */
  const wouldOf = ({ dry_run, results: { requests, would_hit, dependencies, matched } }) => !dry_run || would_hit == null ? "" : dependencies ? would_hit + " of " + matched + " calls would have been hit" : requests ? would_hit + " of " + requests + " requests would have been hit" : "";
  const recoveryOf = ({ recovery }) => recovery && recovery.recovered_after_seconds != null ? "Recovered after " + time(recovery.recovered_after_seconds) : "";
  const moment = (iso) => new Date(iso).toLocaleString();
  const time = (seconds) => seconds == null ? "–" : seconds < 1 ? Number((seconds * 1000).toPrecision(3)) + "\u00a0ms" : Number(seconds.toPrecision(3)) + "\u00a0s";

  document.querySelector("#sign-in form").addEventListener("submit", signIn);
  $("sign-out").addEventListener("click", () => signOut());
  $("halt").addEventListener("click", () => { $("halt-problem").textContent = ""; $("halting").showModal(); });
  $("halting").querySelector("form").addEventListener("submit", halt);
  $("resume").addEventListener("click", resume);
  $("stops").addEventListener("focusin", showWhole);
  $("older").addEventListener("click", showOlder);
  $("ask-dependencies").addEventListener("click", askDependencies);
  $("start-scenario").addEventListener("click", startScenario);
  $("clear-scenario").addEventListener("click", () => { showScenario(state.scenario = []); $("experiments-title").focus(); });
  document.querySelectorAll("[data-close]").forEach((button) => button.addEventListener("click", () => button.closest("dialog").close()));
  document.addEventListener("visibilitychange", () => { state.loaded = 0; if (document.hidden) clearTimeout(state.timer); else refresh(); });
  setInterval(() => state.cards.forEach(countDown), 500);
  const bars = new ResizeObserver(clearOfBars);
  bars.observe(document.querySelector("header")); bars.observe($("notice"));
  refresh();
})();
