/** The log of an engine: its last lines, followed while they are looked at. */

import { Widget, listIcon } from '../base/lab.js';
import { make, setShown, setText } from '../base/dom.js';
import { coloured } from '../outputs/ansi.js';

const LINES = 500;
const FOLLOW_MS = 2000;

export class EngineLog extends Widget {
  /**
   * @param {Api} api the server
   * @param {string} fleet the name of the fleet
   * @param {number} engine the engine
   */
  constructor(api, fleet, engine) {
    super();
    this.id = `kernelfleet-log-${fleet}-${engine}`;
    this.addClass('kf-log');
    this.title.label = `Log of engine ${engine}, ${fleet}`;
    this.title.icon = listIcon;
    this.title.closable = true;
    this.node.dataset.kfLog = engine;
    this._ask = () => api.log(fleet, engine, LINES);
    this._timer = 0;
    this._shown = null;
    this._message = make('div.kf-message', { role: 'status' }, 'Loading …');
    this._text = make('pre', { tabindex: 0, 'aria-label': this.title.label });
    this._follow = make('input', { type: 'checkbox', checked: true, change: () => this._load() });
    this.node.append(make('label.kf-log-head', {}, this._follow, ' Follow'), this._message, this._text);
  }

  onAfterShow() {
    this._load();
  }

  onBeforeHide() {
    clearTimeout(this._timer);
  }

  onAfterAttach() {
    if (this.isVisible) {
      this._load();
    }
  }

  onBeforeDetach() {
    clearTimeout(this._timer);
  }

  async _load() {
    clearTimeout(this._timer);
    try {
      this._show(await this._ask());
    } catch (error) {
      this._say(`${error.message} ${error.remedy ?? ''}`);
    }
    clearTimeout(this._timer);
    if (this._follow.checked && this.isVisible) {
      this._timer = setTimeout(() => this._load(), FOLLOW_MS);
    }
  }

  _show({ lines, truncated, path }) {
    const text = lines.join('\n');
    const said = lines.length ? (truncated ? `The last ${lines.length} lines of ${path}` : path) : 'Nothing has been logged.';
    this._say(said ?? '');
    if (text !== this._shown) {
      const { scrollTop, scrollHeight, clientHeight } = this._text;
      const isAtEnd = this._shown === null || scrollTop + clientHeight >= scrollHeight - 4;
      this._shown = text;
      this._text.replaceChildren(...coloured(text));
      if (isAtEnd) {
        this._text.scrollTop = this._text.scrollHeight;
      }
    }
  }

  _say(message) {
    setShown(this._message, Boolean(message));
    setText(this._message, message);
  }
}
