/** The commands: for the palette, for buttons, for other extensions and for tests. */

import { ICommandPalette, INotebookTracker, InputDialog, MainAreaWidget } from '../base/lab.js';
import { fleetIcon } from '../base/icons.js';
import { tell } from '../fleets/actions.js';
import { EngineLog } from '../panel/log.js';
import { Timeline } from '../timeline/view.js';
import { insertConnectCell } from '../notebook/connect.js';
import { openEngine } from './open_engine.js';
import { IFleets } from './token.js';

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
  optional: [ICommandPalette, INotebookTracker],
  activate: (app, { fleets, actions, reveal }, palette, tracker) => {
    const open = (make, options) => showInMain(app, make, options);

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
    aboutFleet('timeline', 'Show the timeline of a fleet', name => open(() => new Timeline(fleets, name), { mode: 'split-bottom' }));
    aboutFleet('interrupt', 'Interrupt engines', (name, engines) => actions.interrupt(name, engines));
    aboutFleet('restart', 'Restart engines', (name, engines) => actions.restart(name, engines));
    aboutFleet('scale', 'Scale a fleet', name => actions.scale(name));
    aboutFleet('stop', 'Stop a fleet', name => actions.stop(name));
    aboutEngine('log', 'Show the log of an engine', (name, id) =>
      open(() => new EngineLog(fleets.api, name, id), { mode: 'split-bottom' })
    );
    aboutEngine('open-notebook', 'Open an engine as a notebook', (name, id) => openEngine(app, fleets.api, name, id, 'notebook'));
    aboutEngine('open-console', 'Open an engine as a console', (name, id) => openEngine(app, fleets.api, name, id, 'console'));
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

/** Show a widget in the main area: the one that is there already, else a new one. */
function showInMain(app, make, options) {
  const content = make();
  const there = [...app.shell.widgets('main')].find(widget => widget.id === `main-${content.id}`);
  if (there) {
    content.dispose();
    app.shell.activateById(there.id);
    return there;
  }
  const widget = new MainAreaWidget({ content });
  widget.toolbar.hide(); // what these views have of it is in themselves
  widget.id = `main-${content.id}`;
  Object.assign(widget.title, { label: content.title.label, icon: content.title.icon, closable: true });
  app.shell.add(widget, 'main', options);
  app.shell.activateById(widget.id);
  return widget;
}
