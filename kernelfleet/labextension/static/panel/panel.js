/** The panel "Fleets" at the left: a card per fleet, or a word on why there is none. */

import { Widget, addIcon, refreshIcon } from '../base/lab.js';
import { iconButton } from '../base/buttons.js';
import { keyed, make, setShown, setText } from '../base/dom.js';
import { fleetIcon } from '../base/icons.js';
import { matches } from '../fleets/state.js';
import { FleetCard } from './card.js';

const TICK_MS = 1000;

export class FleetsPanel extends Widget {
  /**
   * @param {Fleets} fleets what it shows
   * @param {object} does what its buttons do: `start`, and what `FleetCard` needs
   */
  constructor(fleets, does) {
    super();
    this.id = 'kernelfleet-panel';
    this.addClass('kf-panel');
    this.title.icon = fleetIcon;
    this.title.caption = 'Fleets';
    this.node.setAttribute('role', 'region');
    this.node.setAttribute('aria-label', 'Fleets');
    this._fleets = fleets;
    this._does = does;
    this._cards = new Map();
    this._look = null;
    this._timer = 0;
    this._frame = 0;
    this._build();
    fleets.changed.connect(this._schedule, this);
  }

  _build() {
    this._filter = make('input.kf-filter', {
      type: 'search', placeholder: 'Filter by name, state, notebook, code', 'aria-label': 'Filter fleets',
      input: () => this._draw()
    });
    this._message = make('div.kf-message', { role: 'status', 'aria-live': 'polite' });
    this._new = make('button.kf-new', { type: 'button', click: () => this._does.start() }, 'New fleet');
    this._body = make('div.kf-cards');
    this.node.append(
      make(
        'div.kf-panel-head', {},
        make('h2', {}, 'Fleets'), make('span.kf-space'),
        iconButton(addIcon, 'New fleet', () => this._does.start(), { 'data-kf-action': 'new' }),
        iconButton(refreshIcon, 'Refresh', () => this._fleets.refresh(), { 'data-kf-action': 'refresh' })
      ),
      make('div.kf-filter-row', {}, this._filter),
      this._message, this._new, this._body
    );
    this._draw();
  }

  onAfterShow() {
    this._look ??= this._fleets.look();
    this._timer ||= setInterval(() => this._tick(), TICK_MS);
    this._draw();
  }

  onBeforeHide() {
    this._look?.dispose();
    this._look = null;
    clearInterval(this._timer);
    this._timer = 0;
  }

  onAfterAttach() {
    if (this.isVisible) {
      this.onAfterShow();
    }
  }

  onBeforeDetach() {
    this.onBeforeHide();
  }

  /** Show a fleet, and put the focus on it. */
  reveal(name) {
    this._filter.value = '';
    this._draw();
    this._cards.get(name)?.reveal();
  }

  /** Draw with the next picture that the browser makes; several changes before it are one. */
  _schedule() {
    if (this.isVisible && !this._frame) {
      this._frame = requestAnimationFrame(() => {
        this._frame = 0;
        this._draw();
      });
    }
  }

  _draw() {
    const all = this._fleets.list;
    const shown = all.filter(fleet => matches(fleet, this._filter.value));
    keyed(this._body, this._cards, shown, fleet => fleet.name, fleet => new FleetCard(fleet, this._does));
    for (const fleet of shown) {
      this._cards.get(fleet.name).update(fleet);
    }
    const message = this._messageFor(all, shown);
    setShown(this._message, Boolean(message));
    setText(this._message, message);
    this.node.dataset.kfState = this._stateFor(all);
    setShown(this._new, this._stateFor(all) === 'empty');
    setShown(this._filter.parentNode, all.length > 0);
    this._tick();
  }

  _stateFor(all) {
    if (this._fleets.error) {
      return 'error';
    }
    return !this._fleets.loaded ? 'loading' : all.length ? 'ready' : 'empty';
  }

  _messageFor(all, shown) {
    const { error } = this._fleets;
    switch (this._stateFor(all)) {
      case 'error':
        return `${error.message} ${error.remedy ?? ''}${all.length ? ' Below is what was known before.' : ''}`;
      case 'loading':
        return 'Looking for fleets …';
      case 'empty':
        return 'No fleet is running. Start one here, in a notebook with %fleet start, or in a terminal with kernelfleet start.';
      default:
        return shown.length ? '' : 'No fleet has this in its name, its state, its notebook or its code.';
    }
  }

  _tick() {
    const now = this._fleets.now();
    for (const card of this._cards.values()) {
      card.tick(now);
    }
  }
}
