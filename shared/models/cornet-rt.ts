/**
 * CORnet-RT (Kubilius et al. 2018, who call it CORnet-R): CORnet-R in biological time: an area reads what its predecessor
 * made in the time step before, so that the image takes four steps to reach IT.
 */
import { unrolled } from './cornet-r.ts';
import type { Model } from './model.ts';

export const cornetRT = (times: number, head: number): Model => unrolled('RT', times, head, false);
