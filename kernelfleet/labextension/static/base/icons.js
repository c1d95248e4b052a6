/** The icons that JupyterLab does not have. They are drawn in the theme's colours. */

import { LabIcon } from './lab.js';

const draw = body =>
  `<svg xmlns="http://www.w3.org/2000/svg" width="16" viewBox="0 0 16 16"><g class="jp-icon3" fill="#616161">${body}</g></svg>`;

export const fleetIcon = new LabIcon({
  name: 'kernelfleet:fleet',
  svgstr: draw(
    '<rect x="1" y="1" width="6" height="6" rx="1"/><rect x="9" y="1" width="6" height="6" rx="1"/>' +
      '<rect x="1" y="9" width="6" height="6" rx="1"/><rect x="9" y="9" width="6" height="6" rx="1"/>'
  )
});

export const timelineIcon = new LabIcon({
  name: 'kernelfleet:timeline',
  svgstr: draw(
    '<rect x="1" y="2" width="8" height="3" rx="1"/><rect x="4" y="6.5" width="11" height="3" rx="1"/>' +
      '<rect x="1" y="11" width="5" height="3" rx="1"/><rect x="8" y="11" width="4" height="3" rx="1"/>'
  )
});

export const scaleIcon = new LabIcon({
  name: 'kernelfleet:scale',
  svgstr: draw(
    '<rect x="1" y="9" width="3" height="5"/><rect x="5.5" y="6" width="3" height="8"/><rect x="10" y="2" width="3" height="12"/>'
  )
});
