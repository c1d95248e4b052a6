/** The commands: for the palette, for buttons, for other extensions and for tests. */

import {
  ICommandPalette, IDefaultFileBrowser, ILabShell, INotebookPathOpener, INotebookTracker, InputDialog, MainAreaWidget
} from '../base/lab.js';
import { fleetIcon } from '../base/icons.js';
import { tell } from '../fleets/actions.js';
import { EngineLog } from '../panel/log.js';
import { Timeline } from '../timeline/view.js';
import { insertConnectCell } from '../notebook/connect.js';
import { openEngine } from './open_engine.js';
import { IFleets } from './token.js';

/** With less height there is nothing to see of a timeline or a log. */
const LEAST_PIXELS = 120;

const CATEGORY = 'Fleets of kernels';

/** How the answer of a dialog is one of the palette's fleets. */
async function chooseFleet(fleets, title) {
  await fleets.refresh();
  const names = fleets.list.map(fleet => fleet.name);
  if (names.length < 2) {
    return names[0] ?? null;
  }
  const { value } = await InputDialog.getItem({ title, items: names });
  return value;
}

export const commandsPlugin = {
  id: 'kernelfleet:commands',
  description: 'The commands for fleets of kernels.',
  autoStart: true,
  requires: [IFleets],
  optional: [ICommandPalette, INotebookTracker, ILabShell, IDefaultFileBrowser, INotebookPathOpener].filter(Boolean),
  activate: (app, { fleets, actions, reveal }, palette, tracker, labShell, browser, pages) => {
    // A page of Notebook 7 has room for one document only; below it other things can be.
    const open = make => showInMain(app, make, labShell ? 'main' : 'down');

    /** A command about one fleet: without one in its arguments, the user chooses. */
    const add = (name, label, execute, more = {}) => {
      const command = `kernelfleet:${name}`;
      app.commands.addCommand(command, { label, describedBy, execute, ...more });
      palette?.addItem({ command, category: CATEGORY });
    };
    const aboutFleet = (name, label, execute) =>
      add(name, label, async ({ fleet, engines } = {}) => {
        const chosen = fleet ?? (await chooseFleet(fleets, label));
        if (chosen) {
          return execute(chosen, engines);
        }
        reveal(null); // where it says that there is none, and how to start one
      });
    const aboutEngine = (name, label, execute) =>
      aboutFleet(name, label, async (fleet, engine) => {
        const chosen = engine ?? (await chooseEngine(fleets, fleet, label));
        return chosen === null ? undefined : execute(fleet, chosen);
      });

    add('open-panel', 'Show fleets', ({ fleet } = {}) => reveal(fleet));
    add('new-fleet', 'New fleet …', () => actions.start(), { icon: ({ isPalette } = {}) => (isPalette ? undefined : fleetIcon) });
    aboutFleet('connect', 'Insert a cell that connects to a fleet', async name => {
      try {
        await insertConnectCell(app, tracker, fleets.get(name)?.connect ?? `%load_ext kernelfleet\n%fleet connect ${name}`);
      } catch (error) {
        tell(`Connect to ${name}`, error);
      }
    });
    aboutFleet('timeline', 'Show the timeline of a fleet', name => open(() => new Timeline(fleets, name)));
    aboutFleet('interrupt', 'Interrupt engines', (name, engines) => actions.interrupt(name, engines));
    aboutFleet('restart', 'Restart engines', (name, engines) => actions.restart(name, engines));
    aboutFleet('scale', 'Scale a fleet', name => actions.scale(name));
    aboutFleet('stop', 'Stop a fleet', name => actions.stop(name));
    aboutEngine('log', 'Show the log of an engine', (name, id) => open(() => new EngineLog(fleets.api, name, id)));
    const openAs = as => (name, id) => openEngine({ app, api: fleets.api, pages, browser }, name, id, as);
    aboutEngine('open-notebook', 'Open an engine as a notebook', openAs('notebook'));
    aboutEngine('open-console', 'Open an engine as a console', openAs('console'));
  }
};

/** What the arguments of the commands are, for JupyterLab's list of commands. */
const describedBy = {
  args: {
    type: 'object',
    properties: {
      fleet: { type: 'string', description: 'The name of the fleet' },
      engines: { description: 'The id of an engine, or a list of them' }
    }
  }
};

async function chooseEngine(fleets, name, title) {
  const ids = [...(fleets.get(name)?.engines.keys() ?? [])].sort((a, b) => a - b);
  const { value } = await InputDialog.getItem({ title, items: ids.map(String) });
  return value === null ? null : Number(value);
}

/** Show a widget in an area: the one that is there already, else a new one. */
function showInMain(app, make, area) {
  const content = make();
  let widget = [...app.shell.widgets(area)].find(each => each.id === `main-${content.id}`);
  if (widget) {
    content.dispose();
  } else {
    widget = new MainAreaWidget({ content });
    widget.id = `main-${content.id}`;
    widget.toolbar.hide(); // what these views have of it is in themselves
    Object.assign(widget.title, { label: content.title.label, icon: content.title.icon, closable: true });
    app.shell.add(widget, area, { mode: 'split-bottom' });
  }
  app.shell.activateById(widget.id);
  const tabs = widget.parent?.parent;
  if (area === 'down' && tabs?.tabBar) {
    // The shell of Notebook 7 neither shows what is activated below, nor gives it more room than its tab.
    tabs.currentWidget = widget;
    requestAnimationFrame(() => {
      if (tabs.node.offsetHeight < LEAST_PIXELS) {
        tabs.parent?.setRelativeSizes?.([2, 1]);
      }
    });
  }
  return widget;
}
