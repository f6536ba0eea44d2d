/** Ways for vectors on one machine: each in use when it is asked for, and no byte depends on it. */
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import type { RunView } from '../../coordinator/view/run-view.ts';
import { type CarrierName, carrierNames } from '../../shared/wire/protocol.ts';
import { checkpoint, Stage, tinyImages, tinyRun, trainedSteps } from '../helpers/run.ts';
import { thoroughSerial } from '../helpers/thorough.ts';

async function sameBytesBy(t: ExecutionContext, carrier: CarrierName, workers: number): Promise<void> {
  const stage = new Stage(t);
  const images = await tinyImages(stage.folder);
  const train = (name: string, ...options: string[]) => {
    const output = join(stage.folder, name);
    const argv = [...tinyRun(images), '--epochs', '1000', '--save-model-epochs', '1000', '-o', output];
    return { output, command: stage.start('coordinator', [...argv, ...options]) };
  };
  const { output, command } = train('several', '--carrier', carrier, '--cpu-workers', String(workers));
  const view = async (): Promise<RunView> => {
    const status = stage.start('coordinator', ['status', '-o', output, '--json']);
    await status.ended;
    return JSON.parse(status.stdout);
  };
  await command.untilStep(output, 1);
  const isUsed = async () => {
    const { exchange, workers: there } = await view();
    return there.length === workers && exchange.carrier === carrier && exchange.why === null;
  };
  await command.until(`all vectors travel by ${carrier}`, isUsed);
  await command.untilStep(output, trainedSteps(output).length + 3);
  command.signal('SIGINT');
  t.is(await command.ended, 75, command.stderr);
  const steps = trainedSteps(output).length;
  const alone = train('alone', '--max-steps', String(steps), '--cpu-workers', '1');
  t.is(await alone.command.ended, 0, alone.command.stderr);
  t.true(checkpoint(output, steps).equals(checkpoint(alone.output, steps)));
}

test.serial('three workers that are told to use TCP come to the bytes of one', (t) =>
  sameBytesBy(t, 'tcp', 3),
);

for (const carrier of carrierNames.filter((one) => one !== 'tcp')) {
  thoroughSerial(`two workers that are told to use the carrier ${carrier} come to the bytes of one`, (t) =>
    sameBytesBy(t, carrier, 2),
  );
}
