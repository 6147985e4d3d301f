// SPDX-License-Identifier: LGPL-2.1-or-later
'use strict';

const PERIOD = 1000;
const COUNTERS = [
  ['sessions_opened_total', 'Sessions'],
  ['session_resumes_total', 'Sessions that were resumed'],
  ['connections_opened_total', 'Connections'],
  ['accepted_connections_total', 'TCP connections accepted by the listeners'],
  ['dropped_connections_total', 'Accepted connections closed without an answer'],
  ['refused_requests_total', 'Requests refused'],
  ['authentication_failures_total', 'Requests without a valid token'],
  ['tls_handshakes_total', 'TLS handshakes'],
  ['dial_errors_total', 'Target not reached'],
  ['limit_hits_total', 'Refused because of a limit'],
  ['dropped_events_total', 'Connections missing on this page'],
];

const element = id => document.getElementById(id);
let last = null;
let paused = false;
let timer = 0;

function formatBytes(bytes) {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB'];
  let i = 0;
  while (bytes >= 999.5 && i + 1 < units.length) {
    bytes /= 1024;
    i++;
  }
  return `${i === 0 ? Math.round(bytes) : bytes.toPrecision(3)} ${units[i]}`;
}

function formatTime(ms) {
  const seconds = Math.floor(ms / 1000);
  if (seconds < 60)
    return `${seconds} s`;
  if (seconds < 3600)
    return `${Math.floor(seconds / 60)} min ${seconds % 60} s`;
  if (seconds < 86400)
    return `${Math.floor(seconds / 3600)} h ${Math.floor(seconds % 3600 / 60)} min`;
  return `${Math.floor(seconds / 86400)} d ${Math.floor(seconds % 86400 / 3600)} h`;
}

const formatCount = n => n.toLocaleString('en');
const formatRate = rate => rate === null ? '–' : `${formatBytes(rate)}/s`;

function set(id, text) {
  // What has not changed is not announced again.
  if (element(id).textContent !== text)
    element(id).textContent = text;
}

function showState(text, kind) {
  set('state', text);
  element('state').className = `state ${kind}`;
}

function showProblem(text) {
  element('problem').hidden = text === null;
  set('problem', text ?? '');
}

/* Each row is a list of [text, class]; the first is its header. */
function showRows(id, rows, columns, none) {
  const body = document.createDocumentFragment();
  for (const row of rows) {
    const line = document.createElement('tr');
    row.forEach(([text, kind], i) => {
      const cell = document.createElement(i === 0 ? 'th' : 'td');
      if (i === 0)
        cell.scope = 'row';
      if (kind)
        cell.className = kind;
      cell.textContent = text ?? '–';
      line.append(cell);
    });
    body.append(line);
  }
  if (rows.length === 0) {
    const line = document.createElement('tr');
    const cell = document.createElement('td');
    cell.colSpan = columns;
    cell.className = 'none';
    cell.textContent = none;
    line.append(cell);
    body.append(line);
  }
  element(id).replaceChildren(body);
}

/* Per second, since the last look at this process. */
function makeRate(status) {
  const before = last !== null && last.pid === status.pid && last.started === status.started ? last : null;
  const seconds = before !== null ? (status.uptime_ms - before.uptime_ms) / 1000 : 0;
  return (now, then) => seconds > 0 && then !== undefined ? Math.max(now - then, 0) / seconds : null;
}

function showFigures(status, rate) {
  const metrics = status.metrics;
  const before = last?.metrics;
  const bytes = metrics.transferred_bytes_total;
  const broken = status.principals.reduce((total, p) => total + p.failed_connections, 0);

  set('sessions', formatCount(metrics.sessions));
  set('sessions-more', `${formatCount(metrics.websockets)} WebSockets, ${formatCount(metrics.pending_connections)} pending`);
  set('connections', formatCount(metrics.connections));
  set('connections-more', `${formatCount(metrics.dials)} being made`);
  set('to-target', formatRate(rate(bytes.to_target, before?.transferred_bytes_total.to_target)));
  set('to-target-more', `${formatBytes(bytes.to_target)} in all`);
  set('to-client', formatRate(rate(bytes.to_client, before?.transferred_bytes_total.to_client)));
  set('to-client-more', `${formatBytes(bytes.to_client)} in all`);
  set('errors', formatCount(broken + metrics.refused_requests_total));
  set('errors-more', `${formatCount(broken)} connections, ${formatCount(metrics.refused_requests_total)} requests`);
  set('memory', formatBytes(metrics.memory_bytes));
  set('memory-more', `of ${formatBytes(metrics.memory_max_bytes)}`);
}

function showConnections(status, rate) {
  const before = new Map((last?.connections ?? []).map(c => [c.id, c.bytes_to_target + c.bytes_to_client]));

  showRows('connection-rows', status.connections.map(c => [
    [String(c.id), 'number'],
    [c.principal],
    [c.proxy === null ? c.client : `${c.client} by way of ${c.proxy}`],
    [c.target],
    [formatBytes(c.bytes_to_target), 'number'],
    [formatBytes(c.bytes_to_client), 'number'],
    [formatRate(rate(c.bytes_to_target + c.bytes_to_client, before.get(c.id))), 'number'],
    [formatTime(c.duration_ms), 'number'],
    [formatCount(c.resumes), 'number'],
  ]), 9, 'No connection is open.');
  const hidden = status.metrics.connections - status.connections.length;
  set('connections-note', hidden > 0 ? `The latest are shown; ${formatCount(hidden)} more are open.` : '');
}

function showPrincipals(status) {
  const rows = status.principals.sort((a, b) => b.open_connections - a.open_connections || a.name.localeCompare(b.name));

  showRows('principal-rows', rows.map(p => [
    [p.name],
    [formatCount(p.open_connections), 'number'],
    [formatCount(p.total_connections), 'number'],
    [formatCount(p.failed_connections), 'number'],
  ]), 4, 'There was no connection yet.');
}

function showFailures(status) {
  showRows('failure-rows', status.failures.map(f => [
    [new Date(f.time).toLocaleTimeString()],
    [f.error.message, 'message'],
    [f.principal],
    [f.target],
  ]), 4, 'No connection broke.');
}

function showCounters(status) {
  const rows = [];
  for (const [key, text] of COUNTERS) {
    const value = status.metrics[key];
    if (typeof value === 'number')
      rows.push([[text], [formatCount(value), 'number']]);
    else
      for (const [label, n] of Object.entries(value))
        if (n > 0)
          rows.push([[`${text}: ${label}`], [formatCount(n), 'number']]);
  }
  showRows('counter-rows', rows, 2, '');
}

function show(status) {
  const gateway = status.gateway;
  const rate = makeRate(status);

  set('where', `${gateway.addresses.join(', ') || 'not listening yet'} → ${gateway.target ?? 'targets of the clients'}`);
  set('version', `version ${status.version}, process ${status.pid}, running for ${formatTime(status.uptime_ms)}`);
  if (!paused)
    showState(gateway.state, gateway.state === 'listening' ? 'good' : '');
  showProblem(null);
  showFigures(status, rate);
  showConnections(status, rate);
  showPrincipals(status);
  showFailures(status);
  showCounters(status);
  last = status;
}

async function look() {
  try {
    const response = await fetch('status.json', { cache: 'no-store', signal: AbortSignal.timeout(5 * PERIOD) });
    if (!response.ok)
      throw new Error(`it answered ${response.status}`);
    show(await response.json());
  } catch (error) {
    showState('no answer', 'bad');
    showProblem(`What is shown is not of this moment: the gateway does not answer (${error.message}).`);
  }
  schedule();
}

function schedule() {
  clearTimeout(timer);
  if (!paused && !document.hidden)
    timer = setTimeout(look, PERIOD);
}

element('pause').addEventListener('click', () => {
  paused = !paused;
  element('pause').setAttribute('aria-pressed', String(paused));
  set('pause', paused ? 'Resume' : 'Pause');
  if (paused) {
    clearTimeout(timer);
    showState('paused', '');
  } else {
    look();
  }
});
document.addEventListener('visibilitychange', () => document.hidden || paused ? clearTimeout(timer) : look());
look();
