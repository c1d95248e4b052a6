/** The choice "Engines" in a notebook's toolbar: where its cells run. */

import { InputDialog, Widget } from '../base/lab.js';
import { make, setAttribute } from '../base/dom.js';
import { count } from '../base/words.js';
import { tell } from '../fleets/actions.js';
import { choose, current } from './mode.js';

/** Offered besides the fleets that are running. */
const NUMBERS = [2, 4, 8];
const OTHER = 'other';

/** Cells with these may change the mode without the toolbar. */
const MAY_CHANGE = /%autopx|%fleet|kernelfleet/;

export class EnginesChoice extends Widget {
  /**
   * @param {NotebookPanel} panel the notebook
   * @param {Fleets} fleets those that can be chosen
   */
  constructor(panel, fleets) {
    super();
    this.addClass('kf-engines-choice');
    this._panel = panel;
    this._fleets = fleets;
    /** What is chosen, as the kernel told last; without a fleet the cells run in the notebook's kernel. */
    this._mode = null;
    /** What the user wants, so that it is as before when the kernel is restarted. */
    this._wanted = null;
    /** How often the kernel has been restarted or changed: what was said before counts no more. */
    this._life = 0;
    this._select = make('select', {
      'aria-label': 'Engines: where the cells of this notebook run', 'data-kf-engines-choice': true,
      change: () => this._change(), pointerdown: () => this._offer(), focus: () => this._offer()
    });
    this.node.append(this._select);
    this._draw();
    panel.sessionContext.statusChanged.connect(this._kernelSaid, this);
    panel.sessionContext.kernelChanged.connect(this._kernelIsNew, this);
    fleets.changed.connect(this._draw, this);
  }

  dispose() {
    this._life += 1; // whoever has closed the notebook is told nothing of it any more
    this._fleets.changed.disconnect(this._draw, this);
    super.dispose();
  }

  get _kernel() {
    return this._panel.sessionContext.session?.kernel ?? null;
  }

  /** Another cell has been run. Whether it was a magic that changes the mode is asked only if it looks like one. */
  async cellHasRun(code) {
    if (this._mode || MAY_CHANGE.test(code)) {
      await this._hear(current);
    }
  }

  // -- what the user does -------------------------------------------------------------------------

  /** The list is about to be opened: it is to have the fleets of now. */
  async _offer() {
    if (!this._fleets.isLive && performance.now() - this._fleets.heard > 1000) {
      await this._fleets.refresh();
    }
  }

  async _change() {
    const { value } = this._select;
    if (value === OTHER) {
      const { value: n } = await InputDialog.getNumber({ title: 'Engines of this notebook', value: 4 });
      await this.choose(n >= 1 ? Math.round(n) : this._wanted);
    } else {
      await this.choose(value === '' ? null : value.startsWith('n:') ? Number(value.slice(2)) : value.slice(2));
    }
  }

  /** Have the cells run on a fleet, on so many engines of the notebook's own, or (`null`) in its kernel. */
  async choose(wanted) {
    const life = this._life;
    this._wanted = wanted;
    this._select.disabled = true;
    try {
      await this._hear(kernel => choose(kernel, wanted));
    } catch (error) {
      if (life === this._life) {
        this._wanted = null;
        tell('Engines of this notebook', error);
      } // else the notebook was closed or has another kernel, or its kernel was restarted and is asked again when it is idle
    } finally {
      this._select.disabled = false;
      this._draw();
    }
  }

  // -- what the kernel says -----------------------------------------------------------------------

  async _hear(ask) {
    const kernel = this._kernel;
    if (!kernel) {
      throw new Error('This notebook has no kernel.');
    }
    const life = this._life;
    const mode = await ask(kernel);
    if (kernel === this._kernel && life === this._life) {
      const { cells, fleet, engines, own } = mode ?? {};
      this._mode = cells === 'engines' && fleet ? { fleet, engines: engines.length, own } : null;
      this._wanted = this._mode ? (own ? engines.length : fleet) : null;
      this._draw();
    }
  }

  _kernelSaid(_, status) {
    if (status === 'restarting' || status === 'autorestarting' || status === 'dead') {
      this._restarted = true;
      this._life += 1;
      this._mode = null;
      this._draw();
    } else if (status === 'idle' && this._restarted) {
      this._restarted = false;
      if (this._wanted !== null) {
        this.choose(this._wanted);
      }
    }
  }

  _kernelIsNew(_, { oldValue, newValue }) {
    if (newValue && newValue === oldValue) {
      return; // JupyterLab (4.6) says so after a restart, too, of which the statuses tell
    }
    this._life += 1;
    this._restarted = false;
    this._mode = null;
    this._wanted = null;
    this._draw();
    if (newValue) {
      this._hear(current).catch(() => null); // (a kernel of another language, which has no fleets)
    }
  }

  // -- what is shown ------------------------------------------------------------------------------

  _draw() {
    if (this.isDisposed || this._select.disabled) {
      return; // (while the kernel is asked, what the user has chosen stands there)
    }
    const value = this._valueOfMode();
    const options = this._options();
    const drawn = JSON.stringify([options, value]);
    // A list that is open would close if it were drawn again, so it is only if it has changed.
    if (drawn !== this._drawn) {
      this._drawn = drawn;
      this._select.replaceChildren(...options.map(([key, text]) => make('option', { value: key }, text)));
    }
    this._select.value = value;
    const on = this._mode !== null;
    setAttribute(this._select, 'title', on ? 'Every cell runs on all these engines.' : 'Cells run in the kernel of this notebook.');
    this.node.classList.toggle('kf-on', on);
    this._panel.node.dataset.kfEngines = on ? this._mode.engines : '';
  }

  _valueOfMode() {
    return !this._mode ? '' : this._mode.own ? `n:${this._mode.engines}` : `f:${this._mode.fleet}`;
  }

  _options() {
    const own = this._mode?.own ? this._mode : null;
    const numbers = [...new Set([...NUMBERS, ...(own ? [own.engines] : [])])].sort((a, b) => a - b);
    const named = this._fleets.list.filter(fleet => fleet.name !== own?.fleet).map(fleet => [fleet.name, fleet.engines.size]);
    if (this._mode && !own && !named.some(([name]) => name === this._mode.fleet)) {
      named.push([this._mode.fleet, this._mode.engines]);
    }
    return [
      ['', 'Engines: none'],
      ...numbers.map(n => [`n:${n}`, own?.engines === n ? `All cells: ${count(n, 'engine')}` : `${count(n, 'engine')} of its own`]),
      [OTHER, 'Another number …'],
      ...named.map(([name, n]) => [`f:${name}`, `${this._mode && !own && this._mode.fleet === name ? 'All cells: ' : ''}${name} (${n})`])
    ];
  }
}
