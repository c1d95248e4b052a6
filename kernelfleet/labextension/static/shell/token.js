/** What this extension gives to others: a plugin that asks for this token gets `{ fleets, actions, reveal }`. */

import { Token } from '../base/lab.js';

export const IFleets = new Token('kernelfleet:IFleets', 'The fleets of kernels, and what can be done to them.');
