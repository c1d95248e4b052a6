/** What a user can do to fleets: ask where something would be lost, do it, and say what failed. */

import { Dialog, Notification, showDialog } from '../base/lab.js';
import { count } from '../base/words.js';
import { askForCount, askForFleet } from './dialogs.js';

export class Actions {
  /**
   * @param {Fleets} fleets the fleets
   * @param {object} surroundings `kernelspecs()` and `folder()` of the application, for the dialog of a new fleet
   */
  constructor(fleets, surroundings) {
    this._fleets = fleets;
    this._surroundings = surroundings;
  }

  /** Ask for what is wanted, and start it. The name of the new fleet; `null` if the user thought better of it. */
  async start(wanted = null) {
    if (!wanted) {
      await this._fleets.refresh();
      wanted = await askForFleet(this._fleets, await this._surroundings());
    }
    if (!wanted) {
      return null;
    }
    const answer = await this._do(`Start fleet ${wanted.name ?? ''}`.trim(), () => this._fleets.api.start(wanted));
    return answer?.name ?? wanted.name ?? null;
  }

  async stop(name) {
    const fleet = this._fleets.get(name);
    const buttons = [Dialog.cancelButton(), Dialog.warnButton({ label: 'Stop' })];
    const engines = fleet ? count(fleet.engines.size, 'engine') : 'its engines';
    const body = `This ends ${engines}, what they run, and all their variables.`;
    if ((await showDialog({ title: `Stop fleet “${name}”?`, body, buttons })).button.accept) {
      await this.stopAtOnce(name);
    }
  }

  stopAtOnce(name) {
    return this._do(`Stop fleet ${name}`, () => this._fleets.api.stop(name));
  }

  async scale(name) {
    const fleet = this._fleets.get(name);
    const n = await askForCount(name, fleet?.engines.size ?? 1);
    if (n !== null) {
      await this._do(`Scale fleet ${name}`, () => this._fleets.api.scale(name, n));
    }
  }

  interrupt(name, targets = 'all') {
    return this._do(`Interrupt ${where(name, targets)}`, () => this._fleets.api.interrupt(name, targets));
  }

  async restart(name, targets = 'all') {
    const buttons = [Dialog.cancelButton(), Dialog.warnButton({ label: 'Restart' })];
    const body = 'What runs there ends, and its variables are lost.';
    if ((await showDialog({ title: `Restart ${where(name, targets)}?`, body, buttons })).button.accept) {
      await this._do(`Restart ${where(name, targets)}`, () => this._fleets.api.restart(name, targets));
    }
  }

  /** Do it; whoever has no connection that tells him asks once what came of it. */
  async _do(what, act) {
    try {
      return (await act()) ?? {};
    } catch (error) {
      tell(what, error);
      return null;
    } finally {
      if (!this._fleets.isLive) {
        await this._fleets.refresh();
      }
    }
  }
}

/** Tell the user what did not work, why, and what to do. */
export function tell(what, error) {
  const text = `${what}: ${error.message} ${error.remedy ?? ''}`.trim();
  Notification.error(text, { autoClose: false });
}

function where(name, targets) {
  return targets === 'all' ? `all engines of “${name}”` : `engine ${targets.join(', ')} of “${name}”`;
}
