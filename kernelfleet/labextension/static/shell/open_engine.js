/**
 * Opening a live engine as a notebook or a console: the server lists it as one more kernel.
 *
 * In Notebook 7 each is a page of its own. Notebook's commands (`notebook:create-new` and `console:create`, as of 7.6) begin to
 * connect their own page to the kernel, open the other page, and dispose of what they have begun without waiting for it. That
 * ends as errors that nobody handles ("Disposed", "Canceled future"), or as a connection that stays and complains of the other
 * page's comms; and where the session is there after the other page, that one asks for a kernel. So here the session is
 * there first, and the page that was asked connects to nothing.
 */

import { Notification, SessionAPI, URLExt, UUID } from '../base/lab.js';
import { tell } from '../fleets/actions.js';

/**
 * @param {object} parts the application `app`, the server's `api`, the file `browser` if there is one, and what opens
 *     `pages`, which only Notebook 7 has
 * @param {'notebook'|'console'} as what to open
 */
export async function openEngine({ app, api, browser, pages }, fleet, engine, as) {
  try {
    const { kernel_id: id, kernel_name: name } = await api.openEngine(fleet, engine);
    await app.serviceManager.kernels.refreshRunning();
    if (pages) {
      const begin = as === 'console' ? beginConsole : beginNotebook;
      const path = await begin(app.serviceManager, { id, name }, `Engine ${engine} of ${fleet}`, browser?.model?.path ?? '');
      openPage(pages, URLExt.join(app.serviceManager.serverSettings.baseUrl, `${as}s`), path);
      await app.serviceManager.sessions.refreshRunning();
    } else if (as === 'console') {
      await app.commands.execute('console:create', { kernelPreference: { id, name }, activate: true });
    } else {
      await app.commands.execute('notebook:create-new', { kernelId: id, kernelName: name });
    }
  } catch (error) {
    tell(`Open engine ${engine} of ${fleet}`, error);
  }
}

/**
 * A new file in a folder, and a session of it with a kernel; its path. If there is no session the file stays, as JupyterLab
 * leaves it where a kernel does not start: to delete it while the file browser reads the folder makes Jupyter Server (2.21)
 * answer that there is no such folder.
 */
async function beginNotebook({ contents, serverSettings }, kernel, _, folder) {
  const { path, name } = await contents.newUntitled({ path: folder, type: 'notebook' });
  await SessionAPI.startSession({ path, name, type: 'notebook', kernel }, serverSettings);
  return path;
}

/** A session of a console, which is no file, with a kernel; its path. */
async function beginConsole({ serverSettings }, kernel, name) {
  const path = `console-${UUID.uuid4()}`;
  await SessionAPI.startSession({ path, name, type: 'console', kernel }, serverSettings);
  return path;
}

function openPage(pages, prefix, path) {
  if (!pages.open({ prefix, path })) {
    const text = `The browser has opened no page for ${path}: allow this server to open pages, or open it from "Running".`;
    Notification.warning(text, { autoClose: false });
  }
}
