/**
 * What is known of all fleets, kept up to date by the messages of the server. No I/O.
 *
 * A fleet is the server's description of it (`name`, `state`, `owner`, `counts`, ...), with `engines`, a Map from an
 * engine's id to its row. Where a timeline is shown it also has `spans`, a Map from the number of a span to the span, what
 * engines have worked on lately, and `running`, the spans of what they work on now.
 */

/** How many spans of a fleet are kept; the timeline shows no more. */
export const MAX_SPANS = 20_000;

export class FleetsState {
  constructor() {
    /** The fleets by name. */
    this.fleets = new Map();
  }

  /** The fleets in the order of their names. */
  get list() {
    return [...this.fleets.values()].sort((a, b) => a.name.localeCompare(b.name));
  }

  get(name) {
    return this.fleets.get(name);
  }

  /** Take the answer to `GET fleets`, which is complete but has no spans. */
  takeList(fleets) {
    const names = new Set(fleets.map(fleet => fleet.name));
    for (const name of [...this.fleets.keys()]) {
      if (!names.has(name)) {
        this.fleets.delete(name);
      }
    }
    for (const { engines, ...head } of fleets) {
      const fleet = this._entry(head.name);
      Object.assign(fleet, head);
      fleet.engines = new Map(engines.map(row => [row.id, row]));
    }
  }

  /** Take a message of the WebSocket. */
  takeUpdate({ full, fleets, gone }) {
    if (full) {
      const names = new Set(fleets.map(fleet => fleet.name));
      for (const [name, fleet] of this.fleets) {
        fleet.engines.clear();
        if (!names.has(name)) {
          this.fleets.delete(name);
        }
      }
    }
    for (const change of fleets) {
      this._change(change);
    }
    for (const name of gone) {
      this.fleets.delete(name);
    }
  }

  _entry(name) {
    let fleet = this.fleets.get(name);
    if (!fleet) {
      fleet = { name, engines: new Map(), spans: new Map(), running: [] };
      this.fleets.set(name, fleet);
    }
    return fleet;
  }

  _change({ name, new: isNew, head, engines = [], removed = [], spans = [], running = null }) {
    const before = this.fleets.get(name);
    if (isNew && before && !(before.pid === head?.pid && before.started === head?.started)) {
      this.fleets.delete(name); // it is another fleet of the same name
    } else if (isNew && before) {
      before.engines.clear(); // told anew; the work of the past stays
    }
    const fleet = this._entry(name);
    Object.assign(fleet, head);
    for (const row of engines) {
      fleet.engines.set(row.id, row);
    }
    for (const id of removed) {
      fleet.engines.delete(id);
    }
    for (const span of spans) {
      fleet.spans.set(span.number, spanOf(span));
    }
    fleet.running = running?.map(spanOf) ?? fleet.running;
    // A Map keeps the order in which keys came, so the first ones are the oldest.
    for (const id of fleet.spans.keys()) {
      if (fleet.spans.size <= MAX_SPANS) {
        break;
      }
      fleet.spans.delete(id);
    }
  }
}

/** A span as it is drawn: `ended` is `null` while it runs, `ok` tells how it ended. */
function spanOf({ engine, call, what, started, seconds, outcome, error }) {
  const runs = outcome === 'running';
  return { engine, call, label: what, started, ended: runs ? null : started + seconds, ok: runs ? null : outcome === 'ok', outcome, error };
}

/** The rows of a fleet's engines, by id. */
export function enginesOf(fleet) {
  return [...fleet.engines.values()].sort((a, b) => a.id - b.id);
}

/** How many engines there are, and how many of them are busy. */
export function totals(fleets) {
  const sum = { all: 0, busy: 0 };
  for (const { counts = {} } of fleets) {
    sum.all += Object.values(counts).reduce((a, b) => a + b, 0);
    sum.busy += counts.busy ?? 0;
  }
  return sum;
}

/** Whether a fleet or one of its engines has something to do with a text that somebody looks for. */
export function matches(fleet, text) {
  const wanted = text.trim().toLowerCase();
  const { owner, cluster } = fleet;
  const words = [fleet.name, fleet.state, fleet.host, owner?.kind, owner?.path, cluster, fleet.embedded ? 'embedded' : ''];
  const engines = enginesOf(fleet).flatMap(row => [row.state, row.node, row.running]);
  return !wanted || [...words, ...engines].some(word => word && String(word).toLowerCase().includes(wanted));
}
