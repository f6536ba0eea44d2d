import { checkOptions } from '../options/given-options.ts';
import type { StartOptions } from '../options/table.ts';
import { type RunReport, startRun } from '../training/start.ts';
import type { RunNews, TrainingEvent } from '../watch/news.ts';
import type { TrainOptions } from './options.ts';
import { programFrontend, withoutSignal } from './program-frontend.ts';
import { handleOf, type RunHandle } from './run-handle.ts';

/** A training under way: its events are the objects that `coordinator start --json` prints. */
export type Training = RunHandle<TrainingEvent, RunReport>;

/**
 * Starts or resumes a training, as `coordinator start` does: redis-server (unless a Redis is given) and local workers
 * are processes of their own, and end with it.
 *
 *     const training = train({ model: 'S', dataPath: 'imagenet', outputPath: 'runs/s', ngpus: 2 });
 *     for await (const event of training) if (event.type === 'step') console.log(event.step, event.loss);
 *     const { latest, validation } = await training;
 *
 * @param options aborting their `signal` asks the run to stop after the current step and a checkpoint: its report then
 *   says `interrupted`, and `train({ outputPath, resume: true })` continues it
 * @returns resolves to the report; rejects with a {@link CornetError} that refused or ended the run, `INTERRUPTED` if it
 *   was aborted before it began
 */
export function train(options: TrainOptions): Training {
  return handleOf(async (emit) => {
    const { signal, given } = withoutSignal(options);
    const checked = checkOptions('start', given);
    const viewer = () => ({
      news: (news: RunNews) => {
        if (news.type === 'error') return;
        // The run goes on with its configuration, whatever becomes of the event.
        emit(news.type === 'start' ? structuredClone(news) : news);
      },
      tick: () => undefined,
      end: () => undefined,
    });
    const frontend = programFrontend({ command: 'start', options: checked, signal, tell: emit, viewer });
    return startRun(checked as unknown as StartOptions, frontend);
  });
}
