/** A card in the launcher that starts a fleet. */

import { ILauncher } from '../base/lab.js';
import { IFleets } from './token.js';

export const launcherPlugin = {
  id: 'kernelfleet:launcher',
  description: 'A card in the launcher that starts a fleet of kernels.',
  autoStart: true,
  requires: [IFleets],
  optional: [ILauncher].filter(Boolean),
  activate: (_, __, launcher) => {
    launcher?.add({ command: 'kernelfleet:new-fleet', category: 'Other', rank: 50 });
  }
};
