"use strict";
// The page asks for one snapshot, follows the events, and looks at the snapshot again for what events do not tell, such as
// counters. All that comes from the host is written as text, never as markup.
(() => {
  const $ = (id) => document.getElementById(id);
  const host = document.querySelector("meta[name=holdfast-host]").content;

  // make builds an element: make("p", {class: "x"}, "text", child, ...)
  const make = (tag, attributes, ...children) => {
    const e = document.createElement(tag);
    for (const [k, v] of Object.entries(attributes || {})) if (v !== undefined && v !== null && v !== false) e.setAttribute(k, v);
    e.append(...children.filter((c) => c !== null && c !== undefined));
    return e;
  };

  // ---- words and numbers

  const duration = (ns) => {
    const s = ns / 1e9;
    if (s === 0) return "0";
    if (s < 1e-3) return Math.round(s * 1e6) + " µs";
    if (s < 1) return (s < .01 ? (s * 1e3).toFixed(1) : Math.round(s * 1e3)) + " ms";
    if (s < 10) return s.toFixed(2).replace(/0$/, "") + " s";
    return age(s);
  };
  const age = (s) => {
    s = Math.max(0, Math.floor(s));
    if (s < 60) return s + " s";
    if (s < 3600) return Math.floor(s / 60) + " min" + (s < 600 && s % 60 ? " " + (s % 60) + " s" : "");
    if (s < 86400) return Math.floor(s / 3600) + " h" + (Math.floor(s % 3600 / 60) ? " " + Math.floor(s % 3600 / 60) + " min" : "");
    return Math.floor(s / 86400) + " d" + (Math.floor(s % 86400 / 3600) ? " " + Math.floor(s % 86400 / 3600) + " h" : "");
  };
  const count = (n) => n < 10000 ? String(n) : n < 1e6 ? (n / 1e3).toFixed(n < 1e5 ? 1 : 0) + " k" : (n / 1e6).toFixed(1) + " M";
  const plural = (n, one, many) => n + " " + (n === 1 ? one : many || one + "s");
  const since = (t, prefix) => { // t as text, or in ms
    const e = make("span", {class: "since", "data-since": typeof t === "number" ? t : Date.parse(t), title: new Date(t).toLocaleString()});
    e.dataset.prefix = prefix || "";
    tick(e);
    return e;
  };
  let skew = 0; // of the host's clock against the browser's, in ms
  const hostNow = () => Date.now() + skew;
  const tick = (e) => {
    const t = Number(e.dataset.since);
    e.textContent = t > 0 ? e.dataset.prefix + age((hostNow() - t) / 1000) : "";
  };
  const badge = (text, tone) => make("span", {class: "badge", "data-tone": tone}, text);
  const stateTone = (s) => ({MASTER: "ok", UP: "ok", OK: "ok", BACKUP: "calm", FAULT: "bad", DOWN: "bad", REFUSED: "bad", PARTLY: "bad"})[s] || "idle";

  // ---- what is known

  const model = {status: null, services: new Map(), servers: new Map(), instances: new Map(), trackers: new Map(), sessions: [], lastDown: new Map(), took: {server: [], instance: []}};

  const serverTone = (s) => s.maintenance ? "idle" : s.up ? "ok" : "bad";
  const serviceTone = (s) => !s.up ? "bad" : s.servers.some((x) => !x.up && !x.maintenance) ? "warn" : "ok";
  const serverSince = (s) => {
    const times = s.checks.filter((c) => c.up === s.up).map((c) => Date.parse(c.since));
    return times.length ? (s.up ? Math.max(...times) : Math.min(...times)) : 0;
  };
  const serverError = (s) => (s.checks.find((c) => !c.up && c.error) || {}).error || s.reason || "";
  const serviceError = (s) => {
    const sick = s.servers.filter((x) => !x.up && !x.maintenance);
    if (sick.length === 0) return s.up ? "" : "no quorum: live weight " + s.liveWeight;
    const first = sick[0].server + ": " + (serverError(sick[0]) || "down");
    return sick.length === 1 ? first : plural(sick.length, "server") + " down · " + first;
  };

  // ---- services

  const rows = new Map(); // by service
  const filter = {text: "", problems: false};

  const pips = (s) => {
    const box = make("span", {class: "pips", role: "img", "aria-label": s.servers.filter((x) => x.up).length + " of " + plural(s.servers.length, "server") + " up"});
    const shown = s.servers.length > 28 ? [...s.servers.filter((x) => !x.up), ...s.servers.filter((x) => x.up)].slice(0, 28) : s.servers;
    for (const x of shown) box.append(make("i", {class: "pip", "data-tone": serverTone(x)}));
    return box;
  };

  const addRow = (s, index) => {
    const row = {index, service: s.service, open: false};
    row.e = make("details", {class: "row"});
    row.summary = make("summary");
    row.inside = make("div", {class: "inside"});
    row.e.append(row.summary, row.inside);
    row.e.addEventListener("toggle", () => { row.open = row.e.open; fillInside(row); });
    row.e.holdfast = row;
    rows.set(s.service, row);
    return row;
  };

  const drawRow = (row, s, flash) => {
    const tone = serviceTone(s), why = serviceError(s), up = s.servers.filter((x) => x.up).length;
    const active = s.servers.reduce((n, x) => n + (x.entry ? x.entry.activeConnections : 0), 0);
    const key = JSON.stringify([tone, why, up, s.servers.length, s.liveWeight, s.scheduler, active, s.servers.map(serverTone)]);
    row.hay = (s.service + " " + s.scheduler + " " + s.servers.map((x) => x.server + " " + serverError(x) + (x.maintenance ? " maintenance" : x.up ? "" : " down")).join(" ")).toLowerCase();
    row.tone = tone;
    if (key !== row.key) {
      row.key = key;
      row.e.dataset.tone = tone;
      row.summary.replaceChildren(
        badge(s.up ? (tone === "warn" ? "DEGRADED" : "UP") : "DOWN", tone),
        make("span", {class: "name"}, make("span", {class: "mono", title: s.service}, s.service), why ? make("span", {class: "why", title: why}, why) : null),
        pips(s),
        make("span", {class: "num"}, make("b", {}, up + "/" + s.servers.length), " up"),
        make("span", {class: "num"}, make("b", {}, count(active)), " conn"));
      place(row);
    }
    fillInside(row);
    if (flash) blink(row.e);
  };

  // place keeps what needs attention at the top, the worst first, each part in the order of the configuration.
  const place = (row) => {
    const box = row.tone === "ok" ? $("rest") : $("attention"), rank = (row.tone === "warn" ? 1e6 : 0) + row.index;
    if (row.e.parentNode === box && row.rank === rank) return;
    row.e.remove();
    row.rank = rank;
    let before = null;
    if (box.lastChild && box.lastChild.holdfast.rank > rank) {
      let low = 0, high = box.children.length;
      while (low < high) {
        const mid = (low + high) >> 1;
        if (box.children[mid].holdfast.rank < rank) low = mid + 1; else high = mid;
      }
      before = box.children[low] || null;
    }
    box.insertBefore(row.e, before);
  };

  const fillInside = (row) => {
    if (!row.open) { row.inside.replaceChildren(); return; }
    const s = model.services.get(row.service);
    const body = make("tbody");
    for (const x of s.servers) body.append(serverLine(s, x));
    const head = make("tr");
    for (const [text, right] of [["Server"], ["State"], ["Weight", 1], ["Active", 1], ["Inactive", 1], ["Total", 1], ["Checks"]]) head.append(make("th", {class: right ? "r" : null, scope: "col"}, text));
    const facts = make("p", {class: "facts"}, make("span", {}, make("b", {}, s.scheduler || "no scheduler"), " scheduler"), make("span", {}, "live weight ", make("b", {}, String(s.liveWeight))),
      make("span", {}, make("b", {}, count(s.stats.connections)), " connections"), make("span", {}, make("b", {}, bytes(s.stats.bytesIn)), " in"), make("span", {}, make("b", {}, bytes(s.stats.bytesOut)), " out"));
    facts.style.padding = "8px 0 2px";
    row.inside.replaceChildren(facts, make("table", {}, make("thead", {}, head), body));
  };

  const bytes = (n) => {
    for (const unit of ["B", "kB", "MB", "GB"]) { if (n < 1000) return (unit === "B" ? n : n.toFixed(1)) + " " + unit; n /= 1000; }
    return n.toFixed(1) + " TB";
  };

  const serverLine = (s, x) => {
    const word = x.maintenance ? "MAINTENANCE" : x.up ? "UP" : "DOWN";
    const began = serverSince(x), e = x.entry, last = model.lastDown.get(s.service + " " + x.server);
    const checks = make("td", {class: "wide"});
    for (const c of x.checks) {
      checks.append(make("span", {class: "sub"}, c.id + " · " + (c.checks ? duration(c.latency) + " · " + plural(c.checks, "check") : "not checked yet") + (c.failures ? ", " + c.failures + " failed" : "")));
      if (c.error) checks.append(make("span", {class: "sub bad"}, c.error));
    }
    if (!x.checks.length) checks.append(make("span", {class: "sub"}, "none: always up"));
    if (x.up && last) {
      const line = make("span", {class: "sub"}, "last down: " + last.reason + " · ");
      const when = since(last.time);
      when.className = "";
      line.append(when, " ago");
      checks.append(line);
    }
    const weight = e && e.weight !== x.weight ? x.weight + " → " + e.weight : String(x.weight);
    return make("tr", {},
      make("td", {class: "mono"}, x.server),
      make("td", {}, badge(word, serverTone(x)), began ? make("span", {class: "sub"}, since(began, "for ")) : null, e ? null : make("span", {class: "sub"}, "not in the table")),
      make("td", {class: "r", "data-label": "weight"}, weight),
      make("td", {class: "r", "data-label": "active"}, e ? count(e.activeConnections) : "–"),
      make("td", {class: "r", "data-label": "inactive"}, e ? count(e.inactiveConnections) : "–"),
      make("td", {class: "r", "data-label": "total"}, e ? count(e.stats.connections) : "–"),
      checks);
  };

  // ---- instances and trackers

  const drawInstances = () => {
    const list = [...model.instances.values()], box = $("routers").querySelector("ul");
    $("routers").querySelector(".count").textContent = list.length || "";
    const key = JSON.stringify(list.map((x) => [x.state, x.since, x.priority, x.master, x.instance, x.conflicts]));
    if (key === box.dataset.key) return;
    box.dataset.key = key;
    box.replaceChildren(...list.map((x) => {
      const in_ = x.instance, name = in_.Name || in_.Interface + "/" + in_.VRID;
      const configured = in_.Priority || 100;
      const chips = make("div", {class: "chips"});
      for (const a of [...(in_.Addrs || []), ...(in_.Excluded || [])].slice(0, 12)) chips.append(make("span", {class: "chip mono"}, a.prefix));
      if ((in_.Addrs || []).length + (in_.Excluded || []).length > 12) chips.append(make("span", {class: "chip"}, "…"));
      const conflicts = Object.entries(x.conflicts || {}).map(([kind, n]) => kind + " " + n).join(", ");
      const master = x.state === "MASTER" ? "this host" : x.master || "none known";
      return make("li", {class: "card", "data-tone": stateTone(x.state), "data-hay": (name + " " + x.state + " " + in_.Interface + " " + (in_.Addrs || []).map((a) => a.prefix).join(" ")).toLowerCase()},
        make("div", {class: "head"}, badge(x.state, stateTone(x.state)), make("h3", {title: name}, name), x.since && !x.since.startsWith("0001") ? since(x.since, "for ") : null),
        chips,
        make("p", {class: "facts"},
          make("span", {}, "master ", make("b", {class: x.state === "MASTER" ? null : "mono"}, master)),
          make("span", {}, "priority ", make("b", {}, String(x.priority)), x.priority !== configured ? " (" + configured + " configured)" : ""),
          make("span", {}, make("b", {}, in_.Interface), " · VRID ", make("b", {}, String(in_.VRID)), " · v" + (in_.Version || 3)),
          conflicts ? make("span", {}, "conflicts ", make("b", {}, conflicts)) : null));
    }));
  };

  const drawTrackers = () => {
    const list = [...model.trackers.values(), ...model.sessions], section = $("trackers");
    section.hidden = list.length === 0;
    section.querySelector(".count").textContent = list.length || "";
    section.querySelector("ul").replaceChildren(...list.map((t) => make("li", {"data-hay": (t.id + " " + (t.error || "")).toLowerCase()},
      badge(t.up ? "UP" : "DOWN", t.up ? "ok" : "bad"), make("span", {}, (t.session ? "BFD " : "") + t.id), since(t.since, "for "), !t.up && t.error ? make("span", {class: "why"}, t.error) : null)));
  };

  // ---- the sentence and the figures

  const median = (list) => [...list].sort((a, b) => a - b)[Math.floor((list.length - 1) / 2)];
  const quantile = (h, q) => { // the bound below which q of all durations are
    const total = h.counts.reduce((a, b) => a + b, 0);
    if (!total) return null;
    let n = 0;
    for (let i = 0; i < h.counts.length; i++) { n += h.counts[i]; if (n >= q * total) return i < h.bounds.length ? h.bounds[i] : Infinity; }
    return null;
  };

  const drawSummary = () => {
    const services = [...model.services.values()], instances = [...model.instances.values()];
    const servers = services.flatMap((s) => s.servers);
    const down = services.filter((s) => !s.up).length, sick = servers.filter((x) => !x.up && !x.maintenance).length;
    const faults = instances.filter((x) => x.state === "FAULT").length, masters = instances.filter((x) => x.state === "MASTER").length, backups = instances.filter((x) => x.state === "BACKUP").length;
    const trackers = [...model.trackers.values(), ...model.sessions].filter((t) => !t.up).length, away = servers.filter((x) => x.maintenance).length;
    const wrong = [];
    if (down) wrong.push(plural(down, "service is", "services are") + " down");
    if (faults) wrong.push(plural(faults, "virtual router is", "virtual routers are") + " in FAULT");
    if (sick) wrong.push(plural(sick, "server is", "servers are") + " down");
    if (trackers) wrong.push(plural(trackers, "tracker is", "trackers are") + " down");
    const reload = model.status && model.status.reload, failed = reload && (reload.to === "REFUSED" || reload.to === "PARTLY") ? reload.reason : "";
    if (failed) wrong.push(reload.to === "PARTLY" ? "the last reload was done in part" : "the last reload was refused");
    const tone = down || faults ? "bad" : wrong.length ? "warn" : "ok";
    $("verdict").dataset.tone = tone;
    const headline = wrong.length ? wrong.join(", ").replace(/^t/, "T") + "." : services.length || instances.length ? "Everything is up." : "Nothing is configured.";
    set($("verdict").querySelector("h1"), headline);
    const about = failed ? [(reload.to === "PARTLY" ? "" : "What was in force before stays so: ") + failed + "."] : [];
    if (model.status && model.status.scheduled) about.push("A reload is to come: " + model.status.scheduled.reason + ".");
    if (instances.length) about.push("This host is MASTER of " + masters + " of " + plural(instances.length, "virtual router") + ".");
    if (sick && !down && services.length) about.push("Every service still has its quorum.");
    if (away) about.push(plural(away, "server is", "servers are") + " in maintenance.");
    set($("verdict").querySelector("p"), about.join(" "));
    document.title = (wrong.length ? "▲ " + wrong[0] + " · " : "") + host + " · Holdfast";

    const active = servers.reduce((n, x) => n + (x.entry ? x.entry.activeConnections : 0), 0);
    const late = model.status ? quantile(model.status.timerLateness, .99) : null;
    const figures = [];
    if (instances.length) figures.push(["Virtual routers", masters + "", " MASTER", plural(backups, "BACKUP", "BACKUP") + (faults ? ", " + faults + " FAULT" : "")]);
    figures.push(["Services up", (services.length - down) + "", " / " + services.length, services.filter((s) => serviceTone(s) === "warn").length + " degraded"]);
    figures.push(["Servers up", servers.filter((x) => x.up && !x.maintenance).length + "", " / " + servers.length, away ? away + " in maintenance" : "none in maintenance"]);
    figures.push(["Connections", count(active), " active", rate === null ? "" : (rate < 10 ? rate.toFixed(1) : count(Math.round(rate))) + " new per second"]);
    const timing = (label, list, none) => figures.push([label, list.length ? duration(list[list.length - 1]) : "–", "", list.length > 1 ? "median of " + list.length + ": " + duration(median(list)) : list.length ? "the last one" : none]);
    timing("Failure noticed after", model.took.server, "no failure yet");
    if (instances.length) timing("Takeover after", model.took.instance, "no takeover yet");
    if (instances.length) figures.push(["Timers late by", late === null ? "–" : late === Infinity ? "> 1 min" : "≤ " + duration(late), "", "99 of 100 timers"]);
    const key = JSON.stringify(figures), box = $("figures");
    if (key !== box.dataset.key) {
      box.dataset.key = key;
      box.replaceChildren(...figures.map(([label, value, unit, sub]) => make("div", {}, make("dt", {}, label), make("dd", {}, value, make("small", {}, unit)), make("dd", {}, sub || "\u00a0"))));
    }
  };
  const set = (e, text) => { if (e.textContent !== text) e.textContent = text; };
  const blink = (e) => { e.classList.remove("flash"); void e.offsetWidth; e.classList.add("flash"); };

  // ---- the snapshot

  let rate = null, before = null;
  const adopt = (s) => {
    skew = Date.parse(s.time) - Date.now();
    const total = s.services.reduce((n, x) => n + x.stats.connections, 0);
    if (before && s.services.length) {
      const seconds = (Date.parse(s.time) - before.time) / 1000;
      if (seconds > .5) { rate = Math.max(0, total - before.total) / seconds; before = {time: Date.parse(s.time), total}; }
    } else before = {time: Date.parse(s.time), total};
    model.status = s;
    model.services = new Map(s.services.map((x) => [x.service, x]));
    model.servers = new Map(s.services.flatMap((x) => x.servers.map((y) => [x.service + " " + y.server, [x, y]])));
    model.instances = new Map(s.instances.map((x) => [x.instance.Name || x.instance.Interface + "/" + x.instance.VRID, x]));
    model.trackers = new Map(s.trackers.map((x) => [x.id, x]));
    model.sessions = (s.sessions || []).map((x) => ({id: x.session.Name, up: x.alive, since: x.since, error: x.alive ? "" : "state " + x.state + ", the peer's " + x.remote, session: true}));
    for (const [name, row] of rows) if (!model.services.has(name)) { row.e.remove(); rows.delete(name); }
    s.services.forEach((x, i) => {
      const row = rows.get(x.service) || addRow(x, i);
      if (row.index !== i) { row.index = i; row.key = ""; } // its place may be another
      drawRow(row, x);
    });
    if (!adopted) { // few are shown whole
      adopted = true;
      if (s.services.length <= 4) for (const row of rows.values()) row.e.open = true;
    }
    drawInstances();
    drawTrackers();
    drawSummary();
    applyFilter();
  };
  let adopted = false, asking = false, again = false, later = 0;

  const refresh = async () => {
    clearTimeout(later);
    if (asking) { again = true; return; }
    asking = true;
    const began = performance.now();
    try {
      const answer = await fetch("status?indent=0", {headers: {Accept: "application/json"}});
      if (answer.ok) adopt(await answer.json());
    } catch { /* the stream tells when the host is gone */ }
    asking = false;
    // a large host is asked less often
    const pause = again ? 300 : Math.max(5000, 40 * (performance.now() - began));
    again = false;
    later = setTimeout(() => document.hidden ? (pending = true) : refresh(), pause);
  };
  let pending = false;
  document.addEventListener("visibilitychange", () => { if (!document.hidden && pending) { pending = false; refresh(); } });
  let soonTimer = 0;
  const soon = (ms) => { clearTimeout(soonTimer); soonTimer = setTimeout(refresh, ms); };

  // ---- events

  const verbs = {instance: "", server: "", service: "", group: "group ", tracker: "tracker ", repair: "repaired ", apply: "applied ", override: "override ", error: "error: ", conflict: "conflict of ", reload: "reload of ", rival: "rival of ", priority: "priority of ", weight: "weight of "};
  const tones = {error: "bad", conflict: "bad", rival: "warn", repair: "warn", override: "warn", apply: "idle", priority: "idle", weight: "idle"};
  const eventTone = (e) => tones[e.kind] || (e.to ? stateTone(e.to) : "idle");
  const outcome = (e) => !e.to || e.kind === "priority" || e.kind === "rival" ? [] : [" ", e.kind === "weight" ? (e.from || "?") + " \u2192 " + e.to : badge(e.to, eventTone(e))];

  // a server is named by itself, and where it serves beside it
  const subject = (e) => {
    const cut = e.kind === "server" || e.kind === "weight" ? e.object.lastIndexOf(" ") : -1;
    if (cut < 0) return [make("b", {}, e.object)];
    return [make("b", {}, e.object.slice(cut + 1)), make("i", {}, " of " + e.object.slice(0, cut))];
  };

  const addToTimeline = (e) => {
    const when = new Date(e.time);
    const item = make("li", {"data-tone": eventTone(e), "data-hay": (e.kind + " " + e.object + " " + (e.from || "") + " " + (e.to || "") + " " + (e.reason || "")).toLowerCase()},
      make("time", {datetime: e.time, title: when.toLocaleString()}, when.toLocaleTimeString([], {hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23"})),
      make("span", {class: "what"}, verbs[e.kind] === undefined ? e.kind + " " : verbs[e.kind], ...subject(e), ...outcome(e)),
      e.reason ? make("span", {class: "reason"}, e.reason) : null,
      e.took ? make("span", {class: "took"}, (e.kind === "reload" ? "took " : e.to === "MASTER" ? "took over after " : e.to === "DOWN" ? "noticed after " : "seen again after ") + duration(e.took)) : null);
    if (e.missed) {
      const note = make("li", {"data-tone": "warn", "data-hay": "missed"}, make("span", {class: "what"}, plural(e.missed, "event was", "events were") + " missed here: this page was too slow"));
      $("timeline").prepend(note);
    }
    const list = $("timeline");
    list.prepend(item);
    while (list.children.length > 300) list.lastChild.remove();
    document.querySelector("aside .count").textContent = list.children.length + (list.children.length === 300 ? " newest" : "");
    item.hidden = !matches(item.dataset.hay);
  };

  const happened = (e) => {
    if (e.took && e.kind === "server" && e.to === "DOWN") model.took.server.push(e.took);
    if (e.took && e.kind === "instance" && e.to === "MASTER") model.took.instance.push(e.took);
    if (e.kind === "server" && e.to === "DOWN") model.lastDown.set(e.object, {reason: e.reason, time: e.time});
    addToTimeline(e);
    if (!model.status || Date.parse(e.time) <= Date.parse(model.status.time)) return; // the snapshot knows
    if (e.kind === "server" && model.servers.has(e.object)) {
      const [service, server] = model.servers.get(e.object);
      server.up = e.to === "UP";
      server.reason = e.reason;
      for (const c of server.checks) if (!server.up || !c.up) { c.up = server.up; c.since = e.time; c.error = server.up ? "" : c.error || e.reason; }
      drawRow(rows.get(service.service), service, true);
    } else if (e.kind === "service" && model.services.has(e.object)) {
      const service = model.services.get(e.object);
      service.up = e.to === "UP";
      drawRow(rows.get(e.object), service, true);
    } else if (e.kind === "instance" && model.instances.has(e.object)) {
      const x = model.instances.get(e.object);
      x.state = e.to;
      x.since = e.time;
      drawInstances();
    } else if (e.kind === "priority" && model.instances.has(e.object)) {
      model.instances.get(e.object).priority = e.priority;
      drawInstances();
    } else if (e.kind === "tracker" && model.trackers.has(e.object)) {
      const t = model.trackers.get(e.object);
      t.up = e.to === "UP"; t.since = e.time; t.error = t.up ? "" : e.reason;
      drawTrackers();
    }
    drawSummary();
    applyFilter();
    soon(e.kind === "apply" || e.kind === "override" || e.kind === "reload" || e.missed ? 150 : 1300); // the table follows within a second
  };

  const live = (state, text) => { $("live").dataset.state = state; set($("live"), text); };
  let lastSeq = 0;
  const follow = () => {
    const source = new EventSource("events");
    source.onopen = () => { live("on", "live"); refresh(); };
    source.onerror = () => { live("off", source.readyState === EventSource.CLOSED ? "not connected" : "reconnecting"); if (source.readyState === EventSource.CLOSED) setTimeout(follow, 5000); };
    source.onmessage = (m) => {
      const e = JSON.parse(m.data);
      if (e.seq < lastSeq && e.seq <= 2) { $("timeline").replaceChildren(); model.took = {server: [], instance: []}; } // another process
      else if (e.seq <= lastSeq) return;
      lastSeq = e.seq;
      happened(e);
    };
  };

  // ---- filter, theme

  const matches = (hay) => filter.text === "" || filter.text.split(/\s+/).every((word) => hay.includes(word));
  const applyFilter = () => {
    let shown = 0;
    for (const row of rows.values()) {
      const hide = !matches(row.hay) || filter.problems && row.tone === "ok";
      if (row.e.hidden !== hide) row.e.hidden = hide;
      if (!hide) shown++;
    }
    for (const e of document.querySelectorAll("[data-hay]")) {
      const hide = !matches(e.dataset.hay) || filter.problems && e.classList.contains("card") && e.dataset.tone !== "bad";
      if (e.hidden !== hide) e.hidden = hide;
    }
    const cards = [...$("routers").querySelectorAll(".card")];
    $("routers").hidden = cards.every((c) => c.hidden);
    $("services").querySelector(".count").textContent = shown === rows.size ? rows.size || "" : shown + " of " + rows.size;
    $("services").querySelector(".nothing").hidden = shown > 0 || rows.size === 0;
    $("services").hidden = rows.size === 0 && adopted;
  };
  let typing = 0;
  const remember = () => {
    const q = new URLSearchParams();
    if (filter.text) q.set("q", filter.text);
    if (filter.problems) q.set("problems", "1");
    history.replaceState(null, "", q.toString() ? "#" + q : location.pathname + location.search);
  };
  $("filter").addEventListener("input", () => { clearTimeout(typing); typing = setTimeout(() => { filter.text = $("filter").value.trim().toLowerCase(); applyFilter(); remember(); }, 60); });
  const onlyProblems = (on) => { filter.problems = on; $("problems").setAttribute("aria-pressed", on); applyFilter(); };
  $("problems").addEventListener("click", () => { onlyProblems(!filter.problems); remember(); });
  $("expand").addEventListener("click", () => {
    const open = $("expand").textContent === "Expand all";
    let n = 0; // a few hundred open tables are as much as anybody reads
    for (const row of rows.values()) if (!row.e.hidden && (!open || n++ < 300)) row.e.open = open;
    $("expand").textContent = open ? "Collapse all" : "Expand all";
  });
  document.addEventListener("keydown", (k) => {
    if (k.key === "/" && document.activeElement !== $("filter")) { k.preventDefault(); $("filter").focus(); }
    if (k.key === "Escape" && document.activeElement === $("filter")) { $("filter").value = ""; $("filter").dispatchEvent(new Event("input")); $("filter").blur(); }
  });
  const themes = {"": "as the system", light: "light", dark: "dark"};
  const paint = (t) => { if (t) document.documentElement.dataset.theme = t; else delete document.documentElement.dataset.theme; $("theme").setAttribute("aria-label", "Colours: " + themes[t]); $("theme").title = "Colours: " + themes[t]; };
  const kept = () => { try { return localStorage.getItem("holdfast-theme") || ""; } catch { return ""; } };
  $("theme").addEventListener("click", () => {
    const names = Object.keys(themes), next = names[(names.indexOf(kept()) + 1) % names.length];
    try { localStorage.setItem("holdfast-theme", next); } catch { /* private browsing: until the page is left */ }
    paint(next);
  });
  paint(themes[kept()] ? kept() : "");
  const asked = new URLSearchParams(location.hash.slice(1));
  if (asked.get("q")) { $("filter").value = asked.get("q"); filter.text = asked.get("q").toLowerCase(); }
  if (asked.get("problems")) onlyProblems(true);

  setInterval(() => { for (const e of document.querySelectorAll("[data-since]")) tick(e); }, 1000);
  follow();
  refresh();
})();
