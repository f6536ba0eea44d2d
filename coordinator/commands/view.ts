/** `coordinator view`: the live page of a run, made from its files. */
import { http as defaults } from '../../shared/defaults.ts';
import { describeError } from '../../shared/errors.ts';
import { HttpServer } from '../../shared/process/http-server.ts';
import { say } from '../../shared/process/say.ts';
import { onStopSignals } from '../../shared/process/stop-signals.ts';
import { oneLine } from '../../shared/util/printable.ts';
import { healthOfFiles, PastRun } from '../watch/past-run.ts';

export interface ViewOptions {
  metricsHost?: string;
  metricsPort?: number;
}

/**
 * Serves the page until a signal asks it to stop.
 * @throws CornetError RUN_MISSING, RUN_DAMAGED, PORT_UNAVAILABLE, OPTION_INVALID
 */
export async function viewRun(folder: string, { metricsHost, metricsPort }: ViewOptions): Promise<void> {
  const run = await PastRun.open(folder);
  const { word, reasons } = healthOfFiles(await run.traces());
  const http = await HttpServer.listen(metricsHost ?? defaults.host, metricsPort ?? 0);
  try {
    http.serve(run.routes(http.address), (path, error) => say(`${path}: ${describeError(error).message}`));
    const stopped = new Promise<void>((resolve) => {
      onStopSignals(() => resolve());
    });
    process.stdout.write(`${oneLine(`${word}  ${reasons.join('; ')}`)}\n`);
    process.stdout.write(`page      http://${http.address}/      (Ctrl-C ends it)\n`);
    await stopped;
  } finally {
    await http.close();
  }
}
