/**
 * The plugins of this extension.
 *
 * base/       what every part uses: JupyterLab's modules, elements, words, icons
 * fleets/     what is known of fleets, how it is asked for, what can be done
 * panel/      the panel at the left, and the log of an engine
 * timeline/   the timeline of a fleet
 * notebook/   the toolbar "Engines" of notebooks, the cell that connects, the text of widgets that are gone
 * outputs/    how outputs of several engines are shown (a plugin of its own: see remoteEntry.js)
 * shell/      the plugins: where in JupyterLab all this is to be found
 */

import { commandsPlugin } from './shell/commands.js';
import { launcherPlugin } from './shell/launcher.js';
import { panelPlugin } from './shell/panel.js';
import { runningPlugin } from './shell/running.js';
import { statusPlugin } from './shell/status.js';
import { toolbarPlugin } from './shell/toolbar.js';
import { widgetsPlugin } from './shell/widgets.js';

export default [panelPlugin, commandsPlugin, runningPlugin, statusPlugin, launcherPlugin, toolbarPlugin, widgetsPlugin];
