/** A section "Fleets" in JupyterLab's panel of what is running. */

import { IRunningSessionManagers, Signal } from '../base/lab.js';
import { fleetIcon } from '../base/icons.js';
import { count, countsText } from '../base/words.js';
import { IFleets } from './token.js';

export const runningPlugin = {
  id: 'kernelfleet:running',
  description: 'Fleets in the panel of running kernels and terminals.',
  autoStart: true,
  requires: [IFleets],
  optional: [IRunningSessionManagers],
  activate: (app, { fleets, actions }, running) => {
    if (!running) {
      return;
    }
    const owner = {};
    const runningChanged = new Signal(owner);
    let before = '';
    fleets.changed.connect(() => {
      const now = fleets.list.map(fleet => `${fleet.name} ${detailOf(fleet)}`).join('\n');
      if (now !== before) {
        before = now;
        runningChanged.emit();
      }
    });
    const itemOf = fleet => ({
      open: () => app.commands.execute('kernelfleet:open-panel', { fleet: fleet.name }),
      shutdown: () => actions.stopAtOnce(fleet.name),
      icon: () => fleetIcon,
      label: () => fleet.name,
      labelTitle: () => `Fleet ${fleet.name}: ${detailOf(fleet)}`,
      detail: () => detailOf(fleet)
    });
    running.add({
      name: 'Fleets',
      supportsMultipleViews: false,
      running: () => fleets.list.map(itemOf),
      shutdownAll: () => Promise.all(fleets.list.map(fleet => actions.stopAtOnce(fleet.name))),
      refreshRunning: () => fleets.refresh(),
      runningChanged,
      shutdownLabel: 'Stop fleet',
      shutdownAllLabel: 'Stop all',
      shutdownAllConfirmationText: 'Stop all fleets? Their engines end, and all their variables are lost.'
    });
  }
};

const detailOf = fleet => `${count(fleet.engines.size, 'engine')}, ${countsText(fleet.counts ?? {})}`;
