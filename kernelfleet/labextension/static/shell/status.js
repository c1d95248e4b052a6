/**
 * The status bar: how many engines are busy, of how many. While nobody looks at fleets there is no connection that would
 * tell, so then it asks when a kernel of this page begins or ends to work, and when the mouse comes; what is older than a
 * few seconds it does not claim.
 */

import { INotebookTracker, IStatusBar, Widget } from '../base/lab.js';
import { make, setAttribute, setShown, setText } from '../base/dom.js';
import { fleetIcon } from '../base/icons.js';
import { count } from '../base/words.js';
import { totals } from '../fleets/state.js';
import { IFleets } from './token.js';

const FRESH_MS = 10_000;
/** After a kernel has begun or ended to work, this is long enough for its engines to show it. */
const SOON_MS = 500;
/** Whoever runs many short cells causes no more requests than this. */
const BETWEEN_MS = 2000;

class EnginesStatus extends Widget {
  constructor(fleets, open) {
    super();
    this.id = 'kernelfleet-status';
    this._fleets = fleets;
    this._button = make('button.kf-status', { type: 'button', click: open, pointerenter: () => this.ask(), focus: () => this.ask() });
    fleetIcon.element({ container: this._button.appendChild(make('span')), tag: 'span', elementPosition: 'center', height: '14px' });
    this._text = this._button.appendChild(make('span'));
    this.node.append(this._button);
    this._asking = 0;
    this._growOld = 0;
    fleets.changed.connect(this._draw, this);
    this._draw();
  }

  /** Ask soon, if there is no connection that tells anyway. */
  ask() {
    if (!this._fleets.isLive && !this._asking && this._fleets.loaded && !this.isHidden) {
      const since = performance.now() - this._fleets.heard;
      this._asking = setTimeout(() => {
        this._asking = 0;
        this._fleets.refresh();
      }, Math.max(SOON_MS, BETWEEN_MS - since));
    }
  }

  _draw() {
    const { all, busy } = totals(this._fleets.list);
    const isFresh = this._fleets.isLive || performance.now() - this._fleets.heard < FRESH_MS;
    clearTimeout(this._growOld);
    if (isFresh && !this._fleets.isLive) {
      this._growOld = setTimeout(() => this._draw(), FRESH_MS);
    }
    const text = isFresh ? `${busy} / ${all} busy` : count(all, 'engine');
    setShown(this.node, all > 0);
    setText(this._text, text);
    const said = isFresh ? `${busy} of ${count(all, 'engine')} busy` : count(all, 'engine');
    setAttribute(this._button, 'title', `Fleets: ${said}. Click to see them.`);
    setAttribute(this._button, 'aria-label', `Fleets: ${said}`);
    this.node.dataset.kfBusy = isFresh ? busy : '';
    this.node.dataset.kfAll = all;
  }
}

export const statusPlugin = {
  id: 'kernelfleet:status',
  description: 'How many engines are busy, in the status bar.',
  autoStart: true,
  requires: [IFleets],
  optional: [IStatusBar, INotebookTracker],
  activate: (app, { fleets }, statusBar, tracker) => {
    if (!statusBar) {
      return;
    }
    const item = new EnginesStatus(fleets, () => app.commands.execute('kernelfleet:open-panel'));
    statusBar.registerStatusItem('kernelfleet:engines', { item, align: 'left', rank: 5 });
    tracker?.widgetAdded.connect((_, { sessionContext }) => sessionContext.statusChanged.connect(() => item.ask()));
  }
};
