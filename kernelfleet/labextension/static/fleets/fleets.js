/**
 * The fleets that this page knows, and the connection by which it hears of changes.
 *
 * Somebody who shows fleets calls `look()`; while anybody looks and the page is visible, a WebSocket is open. When nobody
 * looks, nothing is sent. `refresh()` asks once.
 */

import { DisposableDelegate, Signal } from '../base/lab.js';
import { FleetsState } from './state.js';

/** How long the connection stays after the last look: whoever switches to and fro keeps it. */
const LINGER_MS = 1000;
const FIRST_RETRY_MS = 500;
const MAX_RETRY_MS = 15_000;

export class Fleets {
  constructor(api) {
    this.api = api;
    this.state = new FleetsState();
    /** Something has changed: what is known, or whether it can be known. */
    this.changed = new Signal(this);
    /** Whether an answer has come at all. */
    this.loaded = false;
    /** Why nothing is known, or why it may be old; `null` if all is well. */
    this.error = null;
    /** When the last answer came, in milliseconds of `performance.now()`. */
    this.heard = -Infinity;
    /** What each of those who look wants: an object with the name of a `timeline`, or none. */
    this._lookers = new Set();
    this._told = '';
    this._socket = null;
    this._retryMs = FIRST_RETRY_MS;
    this._timer = 0;
    /** How far the server's clock is ahead of ours, in seconds. */
    this._ahead = 0;
    document.addEventListener('visibilitychange', () => this._settle());
  }

  get list() {
    return this.state.list;
  }

  get(name) {
    return this.state.get(name);
  }

  /** Whether changes are heard of at once. */
  get isLive() {
    return this._socket?.readyState === 1;
  }

  /** The server's clock, in seconds since the epoch. */
  now() {
    return Date.now() / 1000 + this._ahead;
  }

  /**
   * Hear of changes from now on, until what is returned is disposed of.
   *
   * @param {string|null} timeline the name of a fleet of which the spans are wanted, too
   */
  look(timeline = null) {
    const looker = { timeline };
    this._lookers.add(looker);
    this._settle();
    return new DisposableDelegate(() => {
      this._lookers.delete(looker);
      this._settle();
    });
  }

  /** Ask once. */
  async refresh() {
    try {
      const answer = await this.api.fleets();
      this.cores = answer.cores;
      this.clusters = answer.clusters ?? [];
      this.state.takeList(answer.fleets);
      this._well();
    } catch (error) {
      this._failed(error);
    }
  }

  /** Open or close the connection, or leave it, as is right now. */
  _settle() {
    const wanted = this._lookers.size > 0 && document.visibilityState !== 'hidden';
    clearTimeout(this._timer);
    if (wanted && !this._socket) {
      this._connect();
    } else if (wanted) {
      this._tell();
    } else if (this._socket) {
      this._timer = setTimeout(() => this._close(), LINGER_MS);
    }
  }

  _close() {
    const socket = this._socket;
    this._socket = null;
    this._retryMs = FIRST_RETRY_MS;
    socket?.close();
  }

  /** Tell the server what is wanted, if that has changed: without a word it tells all but timelines. */
  _tell() {
    const timeline = [...new Set([...this._lookers].map(each => each.timeline).filter(Boolean))];
    const message = JSON.stringify({ type: 'look', at: 'engines', timeline });
    if (this.isLive && message !== this._told) {
      this._told = message;
      this._socket.send(message);
    }
  }

  _connect() {
    const socket = (this._socket = this.api.watch());
    this._told = JSON.stringify({ type: 'look', at: 'engines', timeline: [] });
    socket.onopen = () => socket === this._socket && this._tell();
    socket.onmessage = event => {
      if (socket === this._socket) {
        this._hear(JSON.parse(event.data));
      }
    };
    socket.onclose = () => {
      if (socket === this._socket) {
        this._socket = null;
        this._again();
      }
    };
  }

  _hear(message) {
    this._retryMs = FIRST_RETRY_MS;
    if (message.type === 'update') {
      this._ahead = message.now - Date.now() / 1000;
      this.state.takeUpdate(message);
      this._well();
    }
  }

  /** The connection broke: a request says why, and then it is tried again, ever more rarely. */
  async _again() {
    await this.refresh();
    clearTimeout(this._timer);
    this._timer = setTimeout(() => this._settle(), this._retryMs);
    this._retryMs = Math.min(MAX_RETRY_MS, 2 * this._retryMs);
  }

  _well() {
    this.loaded = true;
    this.error = null;
    this.heard = performance.now();
    this.changed.emit();
  }

  _failed(error) {
    this.error = error;
    this.changed.emit();
  }
}
