/** What `worker describe` prints, and `coordinator doctor` reads: what this machine could compute with. */
import { z } from 'zod';
import { backendNames } from '../run-config.ts';

const problem = z.object({ message: z.string(), hint: z.string() });

export const workerDescription = z.object({
  decoder: z.object({
    /** What decodes images, and why it is not the fast addon, if it is not. */
    description: z.string(),
    addonProblem: z.string().nullable(),
    /** As in a run's numerics; null when the images of the probe cannot be read. */
    pixels: z.string().nullable(),
  }),
  /** Why workers here send each other their vectors instead of sharing memory; null: they share it. */
  memoryProblem: z.string().nullable(),
  backends: z.array(
    z.object({
      name: z.enum(backendNames),
      /** The library's own version; null when it cannot be loaded. */
      version: z.string().nullable(),
      /** What it was built to compute with besides the CPU, in words: `CUDA 12.6`; null: nothing. */
      accelerator: z.string().nullable(),
      /** Why it cannot use that here. */
      acceleratorProblem: problem.nullable(),
      problem: problem.nullable(),
    }),
  ),
  devices: z.array(
    z.object({
      device: z.string(),
      /** The backend that would use it. */
      backend: z.string(),
      /** As in `Numerics`; null when the backend cannot use the device. */
      processor: z.string().nullable(),
      /** A digest of what small networks compute there: hosts where it differs cannot serve the same run. */
      probe: z.string().nullable(),
      problem: problem.nullable(),
    }),
  ),
});
export type WorkerDescription = z.infer<typeof workerDescription>;
