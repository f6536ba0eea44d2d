/**
 * What a user tells the coordinator of a run (`coordinator stop RUN`), through the run's Redis: an entry in `up`, without
 * a number. The coordinator answers under `names.answer`. Whoever writes there first decides: it has taken the order, or
 * the order is withdrawn; so an order that nobody heard in time is never obeyed later.
 */
import { z } from 'zod';
import { errorCodes } from '../errors.ts';
import { parseJson } from './protocol.ts';

const id = z.string().min(1).max(64);

const wanted = z.discriminatedUnion('type', [
  z.object({ type: z.literal('checkpoint') }),
  /** `worker`: its id, or the beginning of it. */
  z.object({ type: z.literal('drain'), worker: id }),
  z.object({ type: z.literal('stop') }),
]);
export type Wanted = z.infer<typeof wanted>;

/** `host`: where it was given. */
export const orderEntry = z.strictObject({
  order: z.object({ id, host: z.string().max(256) }).and(wanted),
});
export type Order = z.infer<typeof orderEntry>['order'];

const answer = z.discriminatedUnion('state', [
  z.object({ state: z.literal('withdrawn') }),
  z.object({ state: z.literal('taken') }),
  z.object({
    state: z.literal('done'),
    /** The worker that has left. */
    worker: id.nullable(),
    /** Of the checkpoint that was written, or of the run's last one. */
    step: z.int().nonnegative().nullable(),
  }),
  z.object({
    state: z.literal('failed'),
    error: z.object({
      code: z.enum(errorCodes).catch('INTERNAL'),
      message: z.string().max(16_384),
      hint: z.string().max(4_096).optional(),
    }),
  }),
]);
export type Answer = z.infer<typeof answer>;

/** What stands as an answer in Redis; null: nothing, or nothing of that kind. */
export function readAnswer(text: string | null): Answer | null {
  return answer.safeParse(parseJson(text ?? '')).data ?? null;
}
