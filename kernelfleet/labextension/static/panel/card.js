/** The card of a fleet: its head with what can be done to all of it, and a row per engine. */

import { caretDownIcon, caretRightIcon, closeIcon, codeIcon, refreshIcon, stopIcon } from '../base/lab.js';
import { iconButton } from '../base/buttons.js';
import { keyed, make, setAttribute, setShown, setText } from '../base/dom.js';
import { scaleIcon, timelineIcon } from '../base/icons.js';
import { roving } from '../base/roving.js';
import { count, countsText, duration } from '../base/words.js';
import { enginesOf } from '../fleets/state.js';
import { EngineRow } from './engine_row.js';

export class FleetCard {
  /**
   * @param {object} fleet the fleet
   * @param {object} does what buttons do: `interrupt`, `restart`, `scale`, `stop`, `connect`, `timeline`, `log`,
   *     `openNotebook`, `openConsole`, each called with the name of the fleet, and the engine where there is one
   */
  constructor(fleet, does) {
    const { name } = fleet;
    this.name = name;
    this._does = does;
    this._rows = new Map();
    this._list = make('ul.kf-engines', { 'aria-label': `Engines of fleet ${name}` });
    this._rowsChanged = roving(this._list, '.kf-engine');
    this._facts = make('div.kf-facts');
    this._problem = make('div.kf-problem', { role: 'status' });
    this._state = make('span.kf-fleet-state');
    this._fold = make('button.kf-fold', { type: 'button', 'aria-expanded': 'true', click: () => this._toggle() });
    this._fold.append(make('span.kf-caret'), make('span.kf-name', {}, name));
    this._drawCaret();
    const hook = action => ({ 'data-kf-action': action });
    this.node = make(
      'section.kf-card', { 'data-kf-fleet': name, 'aria-label': `Fleet ${name}` },
      make(
        'div.kf-card-head', {}, this._fold, this._state, make('span.kf-space'),
        make(
          'span.kf-actions', {},
          iconButton(codeIcon, `Insert a cell that connects to ${name}`, () => does.connect(name), hook('connect')),
          iconButton(timelineIcon, `Timeline of ${name}`, () => does.timeline(name), hook('timeline')),
          iconButton(stopIcon, `Interrupt all engines of ${name}`, () => does.interrupt(name), hook('interrupt')),
          iconButton(refreshIcon, `Restart all engines of ${name}`, () => does.restart(name), hook('restart')),
          iconButton(scaleIcon, `Scale ${name}`, () => does.scale(name), hook('scale')),
          iconButton(closeIcon, `Stop ${name}`, () => does.stop(name), hook('stop'))
        )
      ),
      this._facts, this._problem, this._list
    );
  }

  _toggle() {
    this._fold.setAttribute('aria-expanded', String(!this._isOpen));
    this._drawCaret();
    setShown(this._list, this._isOpen);
  }

  get _isOpen() {
    return this._fold.getAttribute('aria-expanded') === 'true';
  }

  _drawCaret() {
    const caret = this._fold.querySelector('.kf-caret');
    (this._isOpen ? caretDownIcon : caretRightIcon).element({ container: caret, tag: 'span' });
  }

  update(fleet) {
    this._fleet = fleet;
    setAttribute(this.node, 'data-kf-state', fleet.state);
    setText(this._state, fleet.state === 'running' ? '' : fleet.state);
    const { problem } = fleet;
    setShown(this._problem, Boolean(problem));
    setText(this._problem, problem ? `${problem.message} ${problem.remedy ?? ''}` : '');

    const engines = enginesOf(fleet);
    const before = this._rows.size;
    const create = ({ id }) => new EngineRow(this.name, id, this._doesToEngine);
    keyed(this._list, this._rows, engines, row => row.id, create);
    const context = { most: Math.max(1, ...engines.map(row => row.memory_bytes ?? 0)), nodes: fleet.nodes };
    for (const row of engines) {
      this._rows.get(row.id).update(row, context);
    }
    if (before !== this._rows.size) {
      this._rowsChanged();
    }
  }

  get _doesToEngine() {
    const { name } = this;
    return {
      interrupt: id => this._does.interrupt(name, [id]),
      restart: id => this._does.restart(name, [id]),
      log: id => this._does.log(name, id),
      openNotebook: id => this._does.openNotebook(name, id),
      openConsole: id => this._does.openConsole(name, id)
    };
  }

  /** Show what changes as time goes by. */
  tick(now) {
    setText(this._facts, factsOf(this._fleet, now));
    if (this._isOpen) {
      for (const row of this._rows.values()) {
        row.tick(now);
      }
    }
  }

  /** Have the user see it, and put the focus on it. */
  reveal() {
    this.node.scrollIntoView({ block: 'nearest' });
    this._fold.focus();
  }
}

/** `4 engines: 1 busy, 3 idle · up 3:07 · notebook work.ipynb · 2 machines` */
export function factsOf(fleet, now) {
  const states = countsText(fleet.counts ?? {});
  const facts = [count(fleet.engines.size, 'engine') + (states ? `: ${states}` : '')];
  if (fleet.started) {
    facts.push(`up ${duration(now - fleet.started)}`);
  }
  facts.push(ownerOf(fleet));
  if (fleet.cluster) {
    facts.push(fleet.cluster);
  }
  if (fleet.nodes > 1) {
    facts.push(count(fleet.nodes, 'machine'));
  }
  return facts.filter(Boolean).join(' · ');
}

/** Whose a fleet is, and so with whom it ends. */
function ownerOf({ owner, embedded }) {
  if (!owner || (owner.kind === 'daemon' && !embedded)) {
    return 'on its own';
  }
  const what = owner.path ? owner.path.split('/').pop() : `process ${owner.pid}`;
  return `of ${owner.kind === 'notebook' ? 'notebook' : 'session'} ${what}`;
}
