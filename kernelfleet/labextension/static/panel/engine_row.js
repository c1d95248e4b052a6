/** The row of an engine: who it is, how it is, what it does, and what can be done to it. */

import { consoleIcon, listIcon, notebookIcon, refreshIcon, stopIcon } from '../base/lab.js';
import { iconButton } from '../base/buttons.js';
import { make, setAttribute, setShown, setText } from '../base/dom.js';
import { bytes, duration, oneLine } from '../base/words.js';

/** A state has a mark of its own besides its colour, and its word stands beside it. */
const MARKS = { idle: '○', busy: '●', starting: '◔', leaving: '◑', stopping: '◑', stopped: '□', dead: '✕' };

export class EngineRow {
  /**
   * @param {string} fleet the name of its fleet
   * @param {number} id the engine
   * @param {object} does what its buttons do: `interrupt`, `restart`, `log`, `openNotebook`, `openConsole`, each called with
   *     the engine's id
   */
  constructor(fleet, id, does) {
    this.id = id;
    this._mark = make('span.kf-mark', { 'aria-hidden': 'true' });
    this._state = make('span.kf-state');
    this._node = make('span.kf-node');
    this._elapsed = make('span.kf-elapsed');
    this._queue = make('span.kf-queue', { title: 'Requests that wait for it' });
    this._memory = make('span.kf-memory');
    this._memoryBar = make('span.kf-memory-bar', { 'aria-hidden': 'true' }, make('span'));
    this._cpu = make('span.kf-cpu');
    this._running = make('code.kf-running');
    this._past = make('span.kf-past');
    const hook = action => ({ 'data-kf-action': action, tabindex: -1 });
    const buttons = make(
      'span.kf-actions', {},
      iconButton(stopIcon, `Interrupt engine ${id}`, () => does.interrupt(id), hook('interrupt')),
      iconButton(refreshIcon, `Restart engine ${id}`, () => does.restart(id), hook('restart')),
      iconButton(listIcon, `Log of engine ${id}`, () => does.log(id), hook('log')),
      iconButton(notebookIcon, `Open engine ${id} as a notebook`, () => does.openNotebook(id), hook('notebook')),
      iconButton(consoleIcon, `Open engine ${id} as a console`, () => does.openConsole(id), hook('console'))
    );
    this.node = make(
      'li.kf-engine', { 'data-kf-engine': id, tabindex: -1 },
      make(
        'div.kf-engine-head', {},
        make('span.kf-id', {}, String(id)), this._mark, this._state, this._elapsed,
        make('span.kf-space'), this._memoryBar, this._memory, this._cpu
      ),
      make('div.kf-engine-work', {}, this._node, this._queue, this._running, this._past, buttons)
    );
  }

  /**
   * @param {object} row the engine
   * @param {{most: number, nodes: number}} context the largest memory among the engines, and how many machines they are on
   */
  update(row, { most, nodes }) {
    this._row = row;
    setAttribute(this.node, 'data-kf-state', row.state);
    setText(this._mark, MARKS[row.state] ?? '◌');
    setText(this._state, row.state);
    setText(this._queue, row.queue ? `${row.queue} waiting` : '');
    const size = row.memory_bytes;
    setText(this._memory, size === null ? '' : bytes(size));
    setShown(this._memoryBar, size !== null);
    this._memoryBar.firstElementChild.style.width = `${Math.round((100 * (size ?? 0)) / most)}%`;
    setText(this._cpu, row.cpu_percent === null ? '' : `${row.cpu_percent} %`);
    this._cpu.title = 'Processor time: 100 % is one processor';
    setText(this._node, nodes > 1 && row.node ? row.node : '');
    const code = row.running ?? '';
    setText(this._running, oneLine(code));
    setShown(this._running, Boolean(code));
    setText(this._past, code || !row.executed ? '' : `${row.executed} done`);
    setAttribute(this._running, 'title', code || null);
  }

  /** Show how long it has been running what it runs, and tell it to those who cannot see. */
  tick(now) {
    const { id, state, running, running_since: since, queue } = this._row;
    const elapsed = running && since ? duration(now - since) : '';
    setText(this._elapsed, elapsed);
    const words = [`Engine ${id}`, state, running ? oneLine(running) : '', queue ? `${queue} waiting` : ''];
    setAttribute(this.node, 'aria-label', words.filter(Boolean).join(', '));
  }
}
