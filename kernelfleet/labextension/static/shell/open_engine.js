/** Opening a live engine as a notebook or a console: the server lists it as one more kernel. */

import { tell } from '../fleets/actions.js';

/** @param {'notebook'|'console'} as what to open */
export async function openEngine(app, api, fleet, engine, as) {
  try {
    const { kernel_id: id, kernel_name: name } = await api.openEngine(fleet, engine);
    await app.serviceManager.kernels.refreshRunning();
    if (as === 'console') {
      await app.commands.execute('console:create', { kernelPreference: { id, name }, activate: true });
    } else {
      await app.commands.execute('notebook:create-new', { kernelId: id, kernelName: name });
    }
  } catch (error) {
    tell(`Open engine ${engine} of ${fleet}`, error);
  }
}
