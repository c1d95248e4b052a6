/** The plugin with the panel "Fleets" at the left. The others need what it knows of fleets. */

import { IDefaultFileBrowser, ILayoutRestorer, INotebookTree } from '../base/lab.js';
import { Actions } from '../fleets/actions.js';
import { Api } from '../fleets/api.js';
import { Fleets } from '../fleets/fleets.js';
import { FleetsPanel } from '../panel/panel.js';
import { IFleets } from './token.js';

/** What the cards' buttons do, as commands, so that other extensions can do the same. */
const ACTIONS = {
  start: 'new-fleet', stop: 'stop', scale: 'scale', interrupt: 'interrupt', restart: 'restart', connect: 'connect',
  timeline: 'timeline', log: 'log', openNotebook: 'open-notebook', openConsole: 'open-console'
};

export const panelPlugin = {
  id: 'kernelfleet:panel',
  description: 'The panel with all fleets of kernels.',
  autoStart: true,
  provides: IFleets,
  optional: [ILayoutRestorer, IDefaultFileBrowser, INotebookTree].filter(Boolean),
  activate: (app, restorer, browser, tree) => {
    const fleets = new Fleets(new Api(app.serviceManager.serverSettings));
    const actions = new Actions(fleets, () => surroundingsOf(app, browser));
    const does = Object.fromEntries(
      Object.entries(ACTIONS).map(([name, command]) => [
        name,
        (fleet, engines) => app.commands.execute(`kernelfleet:${command}`, { fleet, engines })
      ])
    );
    const panel = new FleetsPanel(fleets, does);
    if (tree) {
      // The first page of Notebook 7 has tabs: Files, Running, and now Fleets.
      panel.title.label = 'Fleets';
      tree.addWidget(panel);
      tree.tabBar.addTab(panel.title);
    } else {
      app.shell.add(panel, 'left', { rank: 600, type: 'Fleets' });
      restorer?.add(panel, panel.id);
    }
    // Whoever shows fleets elsewhere has something to show, without a connection that stays open.
    app.restored.then(() => fleets.refresh());

    const reveal = name => {
      if (tree) {
        tree.currentWidget = panel;
      } else {
        app.shell.activateById(panel.id);
      }
      if (name) {
        panel.reveal(name);
      }
    };
    return { fleets, actions, reveal };
  }
};

/** What the dialog of a new fleet offers. */
async function surroundingsOf(app, browser) {
  const { kernelspecs } = app.serviceManager;
  await kernelspecs.ready;
  const { default: kernel = 'python3', kernelspecs: found = {} } = kernelspecs.specs ?? {};
  const kernels = Object.values(found)
    .filter(Boolean)
    .map(spec => ({ name: spec.name, title: spec.display_name }));
  return { kernels, kernel, folder: browser?.model?.path ?? '' };
}
