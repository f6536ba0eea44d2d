/** The four models by name. */
import { cornetR } from './cornet-r.ts';
import { cornetRT } from './cornet-rt.ts';
import { cornetS } from './cornet-s.ts';
import { cornetZ } from './cornet-z.ts';
import type { Model, ModelName } from './model.ts';

/** @param times time steps to unroll R and RT for, at least 1; Z and S have their own */
export function buildModel(name: ModelName, times: number): Model {
  switch (name) {
    case 'Z':
      return cornetZ;
    case 'R':
      return cornetR(times);
    case 'RT':
      return cornetRT(times);
    case 'S':
      return cornetS;
  }
}
