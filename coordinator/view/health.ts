/**
 * Whether a run is healthy: one word and its reasons, pure, alike for `coordinator status`, the terminal and the live
 * page (this file is compiled for the browser as well).
 *
 *     OK        it makes progress as it usually does, or is starting
 *     SLOW      it makes less progress than usual, or something needs a look before it becomes serious
 *     STUCK     it should make progress and does not
 *     STOPPED   no coordinator is at work on it, and it is not complete
 *     COMPLETE  all of it is done, and its last checkpoint is on disk
 */
import { health as limits, namesInSentence, timeouts } from '../../shared/defaults.ts';
import { count, elapsed, latency, percent, speed } from './format.ts';
import type { RunView } from './run-view.ts';

export const healthWords = ['OK', 'SLOW', 'STUCK', 'STOPPED', 'COMPLETE'] as const;
export type HealthWord = (typeof healthWords)[number];

export interface Health {
  word: HealthWord;
  reasons: string[];
}

/** Exit codes of `coordinator status`, apart from those of every command (`exitCodes` in shared/errors.ts). */
export const healthExitCodes: Readonly<Record<HealthWord, number>> = {
  OK: 0,
  COMPLETE: 0,
  SLOW: 10,
  STUCK: 11,
  STOPPED: 12,
};

/** What a coordinator leaves in the run folder, and what its lock says. */
export interface Traces
  extends Pick<RunView, 'step' | 'steps' | 'checkpoint' | 'best' | 'kept' | 'validation'> {
  /** Of the last coordinator; `unknown` where only its own host or container can tell. */
  coordinator: 'running' | 'unknown' | 'gone';
  /** How the log says that it ended, or null: it did not come to say it. */
  ended: 'complete' | 'interrupted' | { code: string } | null;
  /** It has the lock, but nothing of its work has begun. */
  starting: boolean;
  /** Seconds since it wrote anything there. */
  quiet: number;
  unheard: Unheard;
}

/** Why nothing is heard of a coordinator: its Redis is not known, or does not answer; null: it says nothing there. */
export type Unheard = 'no-redis' | 'no-answer' | null;

/**
 * How a run is, as it was seen last.
 * @param view what its coordinator said last, or null
 * @param age seconds since then
 * @param traces null: the run folder was not looked at
 */
export function healthOf(view: RunView | null, age: number, traces: Traces | null): Health {
  const known = traces ?? view;
  if (known === null) return { word: 'STOPPED', reasons: ['no coordinator is at work'] };
  if (isComplete(view, traces)) return { word: 'COMPLETE', reasons: results(known) };
  if (isOver(view, traces)) return { word: 'STOPPED', reasons: whyStopped(view, traces) };
  const silent = timeouts.member / 1000;
  if (view !== null && age <= silent) return progress(view, age);
  if (view === null && traces !== null) return unseen(traces);
  const lock = traces === null ? '' : traces.coordinator === 'running' ? ', although its process exists' : '';
  return { word: 'STUCK', reasons: [`no sign of the coordinator for ${elapsed(age)}${lock}`] };
}

function isComplete(view: RunView | null, traces: Traces | null): boolean {
  if (traces !== null && traces.steps > 0) return (traces.checkpoint?.step ?? -1) >= traces.steps;
  if (traces?.ended === 'complete') return true;
  return view?.phase === 'finished' && view.stopping === null && view.step >= view.steps;
}

/** No coordinator will make progress until somebody starts one. */
function isOver(view: RunView | null, traces: Traces | null): boolean {
  if (view?.phase === 'finished') return true;
  if (traces === null) return false;
  if (traces.coordinator === 'gone' || traces.ended !== null) return true;
  const patience = traces.starting ? limits.starting : limits.quiet;
  return view === null && traces.coordinator === 'unknown' && traces.quiet > patience;
}

function results({ steps, validation, best }: Pick<Traces, 'steps' | 'validation' | 'best'>): string[] {
  const reasons = [steps > 0 ? `all ${count(steps, 'step', 'steps')} done` : 'all done'];
  if (validation !== null) {
    reasons.push(`validation top-1 ${percent(validation.top1)}, top-5 ${percent(validation.top5)}`);
  }
  if (best !== null) reasons.push(`best checkpoint at step ${best.step} (top-1 ${percent(best.top1)})`);
  return reasons;
}

function whyStopped(view: RunView | null, traces: Traces | null): string[] {
  const { step, steps, checkpoint } = traces ?? view!;
  const at = steps > 0 ? ` at step ${step} of ${steps}` : '';
  const saved = checkpoint === null ? 'no checkpoint yet' : `last checkpoint ${aged(checkpoint, 0)}`;
  return [`${howEnded(view, traces)}${at}`, ...(steps > 0 ? [saved] : [])];
}

function howEnded(view: RunView | null, traces: Traces | null): string {
  if (traces === null) return view?.stopping == null ? 'ended' : `interrupted (${view.stopping})`;
  const { ended, coordinator, quiet } = traces;
  if (ended === 'interrupted' || ended === 'complete') return 'interrupted';
  if (ended !== null) return `ended with ${ended.code}`;
  if (coordinator === 'gone') return 'its coordinator was killed or has crashed';
  return `no sign of its coordinator for ${elapsed(quiet)}`;
}

/** There is a coordinator, or there may be one, but nothing is heard of it. */
function unseen({ coordinator, starting, quiet, unheard }: Traces): Health {
  if (starting) {
    const reasons = [`its coordinator has been starting for ${elapsed(quiet)}`];
    return { word: quiet > limits.starting ? 'STUCK' : 'OK', reasons };
  }
  const written = `files of the run were written ${elapsed(quiet)} ago`;
  if (unheard === null) {
    const word = quiet > timeouts.member / 1000 ? 'STUCK' : 'OK'; // its first words take a moment
    return { word, reasons: ['no sign of the coordinator', written] };
  }
  // Of another host, or with a Redis of the user's own: only the files can be asked.
  if (coordinator === 'unknown' || unheard === 'no-redis') {
    const word = quiet > limits.starting ? 'SLOW' : 'OK';
    return {
      word,
      reasons: ['its coordinator cannot be asked from here without its Redis (--redis)', written],
    };
  }
  const word = quiet > limits.redisStuck ? 'STUCK' : 'SLOW';
  return { word, reasons: ['its Redis does not answer', written] };
}

/** Of a coordinator that was heard of lately. */
function progress(view: RunView, age: number): Health {
  const troubles = [redisTrouble, workerTrouble, standstill, slowness, diskTrouble, checkpointTrouble];
  const found = troubles.flatMap((look) => look(view) ?? []);
  if (found.length === 0) return { word: 'OK', reasons: vitals(view, age) };
  const word = found.some(({ stuck }) => stuck) ? 'STUCK' : 'SLOW';
  const worstFirst = [...found.filter(({ stuck }) => stuck), ...found.filter(({ stuck }) => !stuck)];
  return { word, reasons: worstFirst.map(({ reason }) => reason) };
}

interface Trouble {
  stuck: boolean;
  reason: string;
}

function redisTrouble({ redis }: RunView): Trouble | null {
  const away = redis?.away ?? null;
  if (away === null) return null;
  const what = {
    lost: 'Redis away for',
    refused: 'Redis takes no commands, for',
    silent: 'Redis does not answer, for',
  };
  return { stuck: away.seconds > limits.redisStuck, reason: `${what[away.how]} ${elapsed(away.seconds)}` };
}

function workerTrouble({ phase, phaseSeconds, workers }: RunView): Trouble | null {
  if (phase !== 'waiting' || workers.length > 0) return null;
  const seconds = phaseSeconds ?? 0;
  if (seconds <= limits.slow) return null; // they start with the run
  return { stuck: seconds > limits.noWorkerStuck, reason: `no worker, for ${elapsed(seconds)}` };
}

/** Rounds over all images may take long; nothing else may. */
const patient = ['redis_away', 'waiting', 'validating', 'extracting', 'finished'];
const inStep = ['computing', 'reducing', 'applying'];

function standstill({ phase, phaseSeconds, idleSeconds, usual, workers }: RunView): Trouble | null {
  if (patient.includes(phase)) return null;
  const stepping = inStep.includes(phase);
  const seconds = (stepping ? idleSeconds : phaseSeconds) ?? 0;
  const usually = stepping ? usual?.stepSeconds : undefined;
  // Of the first step it is not known how long it may take.
  if (stepping && usually === undefined) return null;
  const slow = Math.max(limits.slow, limits.slowSteps * (usually ?? 0));
  if (seconds <= slow) return null;
  const stuck = seconds > Math.max(limits.stuck, limits.stuckSteps * (usually ?? 0));
  const owing = workers.filter(({ owes }) => owes !== null).map(({ id }) => id);
  const others = owing.length > namesInSentence ? ` and ${owing.length - namesInSentence} more` : '';
  const names = owing.slice(0, namesInSentence).join(', ') + others;
  const who = owing.length === 0 ? '' : `, waiting for ${names}`;
  const what = stepping
    ? `no update for ${elapsed(seconds)} (usually one takes ${elapsed(usually!)})`
    : `${phase} for ${elapsed(seconds)}`;
  return { stuck, reason: what + who };
}

function slowness({ imagesPerSecond, usual, phase }: RunView): Trouble | null {
  const stepping = inStep.includes(phase);
  if (!stepping || imagesPerSecond === null || (usual ?? null) === null) return null;
  if (imagesPerSecond >= limits.slowPart * usual!.imagesPerSecond) return null;
  return { stuck: false, reason: `${speed(imagesPerSecond)}, usually ${speed(usual!.imagesPerSecond)}` };
}

function diskTrouble({ disk }: RunView): Trouble | null {
  if ((disk ?? null) === null) return null;
  const { trouble, free, checkpoint } = disk!;
  if (trouble !== null) return { stuck: false, reason: `disk: ${trouble}` };
  if (free === null || free >= limits.checkpoints * checkpoint) return null;
  return { stuck: false, reason: roomFor(free, checkpoint) };
}

function checkpointTrouble({ checkpoint }: RunView): Trouble | null {
  if ((checkpoint?.age ?? null) === null) return null;
  const { intervals, seconds } = limits.checkpointLate;
  const { age, interval } = checkpoint!;
  if (age! <= intervals * interval + seconds) return null;
  return { stuck: false, reason: `last checkpoint ${aged(checkpoint!, 0)}` };
}

/** What says that all is well. */
function vitals(view: RunView, age: number): string[] {
  const { redis, disk, checkpoint, idleSeconds, phase, step, steps, workers } = view;
  const reasons: string[] = [];
  const members = workers.filter(({ status }) => status === 'member').length;
  if (steps === 0) reasons.push(`${phase} with ${count(members, 'worker', 'workers')}`);
  else if (!inStep.includes(phase)) reasons.push(`${phase} at step ${step}`);
  else if (idleSeconds !== null) reasons.push(`last update ${elapsed(idleSeconds + age)} ago`);
  if ((checkpoint ?? null) !== null) reasons.push(`last checkpoint ${aged(checkpoint!, age)}`);
  if ((disk?.free ?? null) !== null) reasons.push(roomFor(disk!.free!, disk!.checkpoint));
  if ((redis?.answersIn ?? null) !== null) reasons.push(`Redis answers in ${latency(redis!.answersIn!)}`);
  return reasons;
}

function roomFor(free: number, checkpoint: number): string {
  return `disk for ${count(Math.floor(free / checkpoint), 'more checkpoint', 'more checkpoints')}`;
}

function aged({ step, age }: { step: number; age: number | null }, since: number): string {
  return age === null ? `at step ${step}` : `${elapsed(age + since)} ago`;
}
