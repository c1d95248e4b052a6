/** What this extension asks of the server; docs/rest.md describes each request. */

import { ServerConnection, URLExt } from '../base/lab.js';

const ROOT = 'kernelfleet/api';

/** An answer that is an error: what is wrong, and what to do about it. */
export class ServerError extends Error {
  constructor(status, problem) {
    super(problem.message);
    this.status = status;
    this.remedy = problem.remedy ?? '';
  }
}

const NOT_THERE = {
  message: 'The server part of kernelfleet does not answer.',
  remedy:
    'Install kernelfleet[lab] into the environment of this Jupyter server, and start the server again; ' +
    '`jupyter server extension list` shows whether it is enabled.'
};

/** A name in the path of an address. */
const part = encodeURIComponent;

export class Api {
  /** @param {ServerConnection.ISettings} settings where the server is, and how it is asked */
  constructor(settings) {
    this.settings = settings;
  }

  fleets() {
    return this._ask('GET', 'fleets');
  }

  /** @param {{name?: string, n?: number, kernel?: string, cwd?: string, cluster?: string}} wanted */
  start(wanted) {
    return this._ask('POST', 'fleets', wanted);
  }

  stop(name) {
    return this._ask('DELETE', `fleets/${part(name)}`);
  }

  scale(name, n) {
    return this._ask('POST', `fleets/${part(name)}/scale`, { n });
  }

  /** @param {number[]|'all'} targets which engines */
  interrupt(name, targets) {
    return this._ask('POST', `fleets/${part(name)}/interrupt`, { targets });
  }

  restart(name, targets) {
    return this._ask('POST', `fleets/${part(name)}/restart`, { targets });
  }

  log(name, engine, lines) {
    return this._ask('GET', `fleets/${part(name)}/engines/${engine}/log?lines=${lines}`);
  }

  /** Have the server list an engine among its kernels; the answer has the kernel's id. */
  openEngine(name, engine) {
    return this._ask('POST', `fleets/${part(name)}/engines/${engine}/open`, {});
  }

  /** A WebSocket that tells what changes. */
  watch() {
    const { WebSocket, wsUrl, token, appendToken } = this.settings;
    const url = URLExt.join(wsUrl, ROOT, 'watch');
    return new WebSocket(appendToken && token ? `${url}?token=${part(token)}` : url);
  }

  async _ask(method, path, body) {
    const init = { method, cache: 'no-store', body: body && JSON.stringify(body) };
    const url = `${URLExt.join(this.settings.baseUrl, ROOT)}/${path}`;
    const response = await ServerConnection.makeRequest(url, init, this.settings);
    const text = await response.text();
    const answer = parsed(text);
    if (response.ok && answer !== undefined) {
      return answer;
    }
    if (response.ok && !text) {
      return null;
    }
    throw new ServerError(response.status, problemOf(response, answer));
  }
}

function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** Our own errors say what to do. Others come from the server itself, or from a proxy before it. */
function problemOf(response, answer) {
  if (answer?.remedy) {
    return answer;
  }
  if (response.status === 404) {
    return NOT_THERE;
  }
  if (response.status === 403) {
    return { message: 'This server does not let you do that (403).', remedy: 'Log in again, and reload the page.' };
  }
  return { message: answer?.message || `The server answered ${response.status} ${response.statusText}.` };
}
