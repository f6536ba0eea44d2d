/** `coordinator doctor`: looks for everything that training needs on this machine, by using it where that is possible. */
import { constants } from 'node:fs';
import { access, stat, statfs } from 'node:fs/promises';
import { availableParallelism, tmpdir, totalmem } from 'node:os';
import { dirname, resolve } from 'node:path';
import { defaults, doctor as limits, recipes, timeouts } from '../../shared/defaults.ts';
import { describeError, errorTable, exitCodes } from '../../shared/errors.ts';
import { imageNetClasses, networkOf } from '../../shared/models/family.ts';
import { isPublished, modelNames } from '../../shared/models/model.ts';
import { describeGpu, listGpus, type VisibleGpu, visibleGpus } from '../../shared/process/gpus.ts';
import { asCalled, calledAs } from '../../shared/process/own-command.ts';
import { packageRoot } from '../../shared/process/package-root.ts';
import { runProgram } from '../../shared/process/run-program.ts';
import { version } from '../../shared/process/version.ts';
import { type WorkerDescription, workerDescription } from '../../shared/process/worker-description.ts';
import { workerEnvironment } from '../../shared/process/worker-environment.ts';
import { connectRedis, redactUrl } from '../../shared/redis/redis.ts';
import { gigabytes } from '../../shared/util/gigabytes.ts';
import { oneLine, printableJson, quoteName } from '../../shared/util/printable.ts';
import { type WithOwnModel, withOwnModel } from '../custom-model/load.ts';
import { fileError, systemCode } from '../disk/durable-file.ts';
import { PrivateRedis } from '../host/redis-server.ts';
import { workerScript } from '../host/worker-command.ts';
import { bytesOfCheckpoints } from '../run-folder/disk-need.ts';
import { checkDataSet, type DataFacts } from './doctor-data.ts';
import { type Finding, missing, note, ok } from './doctor-finding.ts';
import { checkTcp } from './doctor-tcp.ts';

export interface DoctorOptions {
  outputPath?: string;
  redis?: string;
  dataPath?: string;
  trainList?: string;
  valList?: string;
  classes?: string;
  exclude?: string;
  model?: string;
  json: boolean;
}

/** What the checks found besides findings, for --json. */
interface Facts {
  data: DataFacts | null;
  /** Digests of what the devices of this host and its image decoder compute. */
  numerics: Readonly<Record<string, string | null>> | null;
}

/** Prints one line per finding, or one JSON object; returns the exit code. */
export async function runDoctor(options: DoctorOptions): Promise<number> {
  const { outputPath, redis, dataPath, model, json } = options;
  if (!json) process.stdout.write(`cornet-ts ${version} in ${quoteName(packageRoot)}\n`);
  const facts: Facts = { data: null, numerics: null };
  const checks = [
    checkNode,
    checkCompiler,
    () => checkWorker(facts),
    () => (redis === undefined ? checkPrivateRedis() : checkRedis(redis, 'Redis')),
    () => checkOutputFolder(outputPath, model),
    () => checkTemporaryFolder(redis !== undefined),
    ...(dataPath === undefined ? [] : [() => checkData(dataPath, options, facts)]),
    checkOpenFiles,
    checkMemory,
  ];
  const findings: Finding[] = [];
  for (const check of checks) {
    for (const finding of await check()) {
      findings.push(finding);
      if (!json) process.stdout.write(lineOf(finding));
    }
  }
  const has = (wanted: Finding['state']) => findings.some(({ state }) => state === wanted);
  const ways = [
    ...(has('missing') ? ['provide the items marked "missing"'] : []),
    ...(has('error') ? ['correct the items marked "error"'] : []),
  ];
  const ready = ways.length === 0;
  if (json) {
    const told = { version, package: packageRoot, ready, checks: findings.map(asTold), ...facts };
    process.stdout.write(printableJson(`${JSON.stringify(told, null, 2)}\n`));
  } else process.stdout.write(ready ? 'Training can start.\n' : `Not ready: ${ways.join(', and ')}.\n`);
  return ready ? exitCodes.complete : exitCodes.error;
}

function lineOf(finding: Finding): string {
  const { state, name, note, hint } = asTold(finding);
  const told = oneLine([note, ...(hint === null ? [] : [hint])].join(' ').replaceAll('\n', ' '));
  return `${state.padEnd(7)}  ${name.padEnd(18)}  ${told}\n`;
}

/** With the commands as this one was called. */
function asTold({ name, state, note, hint }: Finding): Finding {
  return { name, state, note: asCalled(note), hint: hint === null ? null : asCalled(hint) };
}

async function checkData(path: string, options: DoctorOptions, facts: Facts): Promise<Finding[]> {
  const { finding, data } = await checkDataSet(path, options);
  facts.data = data;
  return [finding];
}

const setUpForGpus = {
  torch: '`coordinator setup --libtorch wheel`',
  tensorflow: '`coordinator setup --backend tensorflow --libtensorflow wheel`',
};

/** What a tensor library is installed with that somebody may not want. */
const setUpFor = {
  torch: '`coordinator setup`',
  tensorflow: '`coordinator setup --backend tensorflow`',
};

function checkNode(): Finding[] {
  return [ok('Node.js', `${process.version}, ${process.platform} ${process.arch}`)];
}

async function checkCompiler(): Promise<Finding[]> {
  const name = process.env.CXX || 'g++';
  const answer = await runProgram(name, ['--version']);
  if ('output' in answer) return [ok('compiler', answer.output.split('\n', 1)[0]!)];
  return [
    note('compiler', `${name}: ${answer.problem}.`, 'Only set-up needs it: apt-get install g++, or set CXX.'),
  ];
}

async function checkWorker(facts: Facts): Promise<Finding[]> {
  const found = await listGpus(process.env);
  const gpus = 'gpus' in found ? visibleGpus(found.gpus, process.env.CUDA_VISIBLE_DEVICES) : [];
  const described = await describeLocalWorker(gpus.map(({ device }) => device));
  const findings = [gpusFinding(found, gpus)];
  if ('problem' in described) return [...findings, missing('worker', described.problem)];
  const numerics = numericsOf(described);
  facts.numerics = numerics;
  return [...findings, ...describedFindings(described, gpus.length > 0), numericsFinding(numerics)];
}

/** By device, and that of the image decoder. */
function numericsOf({ devices, decoder }: WorkerDescription): Record<string, string | null> {
  const probes = devices.map(({ device, probe }) => [device, probe] as const);
  return { ...Object.fromEntries(probes), images: decoder.pixels };
}

function numericsFinding(numerics: Readonly<Record<string, string | null>>): Finding {
  const known = Object.entries(numerics).filter(([, digest]) => digest !== null);
  if (known.length === 0) return note('numerics', 'No device computes here.');
  const digests = known.map(([name, digest]) => `${name} ${digest}`).join('; ');
  return ok('numerics', `${digests}. Hosts where these differ cannot serve the same run.`);
}

function gpusFinding(found: Awaited<ReturnType<typeof listGpus>>, gpus: readonly VisibleGpu[]): Finding {
  const subject = 'nvidia-smi';
  if ('problem' in found) return note(subject, `${found.problem}: workers compute on the CPU.`);
  if (gpus.length > 0) {
    const drivers = [...new Set(found.gpus.map(({ driver }) => driver))];
    return ok(subject, `driver ${drivers.join(', ')}: ${gpus.map(describeGpu).join('; ')}`);
  }
  const hidden = found.gpus.length === 0 ? 'It lists no GPU' : 'CUDA_VISIBLE_DEVICES hides every GPU';
  return note(subject, `${hidden}: workers compute on the CPU.`);
}

/** @param hasGpus nvidia-smi lists GPUs that a run may take */
export function describedFindings(
  { backends, devices, decoder, memoryProblem }: WorkerDescription,
  hasGpus: boolean,
): Finding[] {
  const findings: Finding[] = [];
  const usable = backends.filter(({ problem }) => problem === null);
  for (const { name, version, accelerator, acceleratorProblem, problem } of backends) {
    const subject = `${name} backend`;
    if (problem !== null) {
      const isSpare = usable.length > 0;
      const what = problem.message.split(': ')[0]!.replace(/\.$/, '');
      if (isSpare) findings.push(note(subject, `${what}.`, `It is optional: ${setUpFor[name]}`));
      else findings.push(missing(subject, problem.message, problem.hint));
    } else if (accelerator === null && hasGpus) {
      const way = `Run ${setUpForGpus[name]} to train on the GPUs.`;
      findings.push(note(subject, `${version} without CUDA.`, way));
    } else if (acceleratorProblem !== null && hasGpus) {
      const { message, hint } = acceleratorProblem;
      findings.push(note(subject, `${version}, ${accelerator}, cannot use the GPUs: ${message}`, hint));
    } else findings.push(ok(subject, `${version}, ${accelerator ?? 'without CUDA'}`));
  }
  for (const { device, backend, processor, problem } of devices) {
    const subject = `device ${device}`;
    if (problem === null) {
      const cores = device === 'cpu' ? `, ${availableParallelism()} cores` : '';
      findings.push(ok(subject, `${processor}${cores} (${backend})`));
    } else if (device === 'cpu') findings.push(missing(subject, problem.message, problem.hint));
    else findings.push(note(subject, problem.message, problem.hint));
  }
  const { description, addonProblem } = decoder;
  if (addonProblem === null) findings.push(ok('image decoder', description));
  else findings.push(note('image decoder', `${description}.`, 'Run `coordinator setup` for the fast one.'));
  if (memoryProblem === null)
    findings.push(ok('shared memory', 'workers of this machine share their vectors'));
  else {
    const what = `Workers of this machine send each other their vectors, which takes longer: ${memoryProblem}.`;
    findings.push(note('shared memory', what, 'Run `coordinator setup` to share them in memory.'));
  }
  return findings;
}

/** A child process, because a tensor library may take the process that loads it down with it. */
async function describeLocalWorker(
  gpus: readonly string[],
): Promise<WorkerDescription | { problem: string }> {
  const cores = availableParallelism();
  const { decodeThreads } = defaults;
  const answer = await runProgram(process.execPath, [workerScript, 'describe', 'cpu', ...gpus], {
    timeout: timeouts.workerStart,
    env: {
      ...workerEnvironment(process.env, { threads: cores, workers: 1, cores, decodeThreads }),
      ...calledAs,
    },
  });
  if ('problem' in answer) return { problem: `The worker command does not run: ${answer.problem}.` };
  return workerDescription.parse(JSON.parse(answer.output));
}

async function checkPrivateRedis(): Promise<Finding[]> {
  let server: PrivateRedis;
  try {
    server = await PrivateRedis.start();
  } catch (error) {
    const { message, hint } = describeError(error);
    return [missing('redis-server', message, hint)];
  }
  const findings = await checkRedis(server.url, 'redis-server').finally(() => server.stop());
  const guard = await runProgram('setpriv', ['--pdeathsig', 'TERM', 'true']);
  if ('problem' in guard) {
    const danger = 'a redis-server would outlive a coordinator that is killed';
    findings.push(note('setpriv', `${guard.problem}: ${danger}.`, 'apt-get install util-linux'));
  }
  return findings;
}

async function checkRedis(url: string, name: string): Promise<Finding[]> {
  try {
    const redis = await connectRedis(url, { name: 'cornet-doctor', bytesNeeded: 0 });
    const server = /redis_version:(\S+)/.exec(await redis.info('server'))?.[1];
    const tcp = await checkTcp(redis, url);
    redis.disconnect();
    return [ok(name, `${server} answers at ${redactUrl(url)}`), ...tcp];
  } catch (error) {
    const { code, message, hint } = describeError(error);
    const state = code === 'REDIS_UNREACHABLE' ? 'missing' : 'error';
    return [{ name, state, note: message, hint }];
  }
}

/** Without a name it is only a guess that the run folder would be here. */
async function checkOutputFolder(path: string | undefined, model: string | undefined): Promise<Finding[]> {
  const subject = 'output folder';
  const { remedy } = errorTable.FOLDER_NOT_WRITABLE;
  const folder = resolve(path ?? '.');
  const findings = await checkFolder(subject, await nearestExisting(folder).catch(() => folder), {
    need: await needOf(model === undefined ? modelNames : [model]),
    remedy,
  });
  if (path !== undefined) return findings;
  return findings.map((finding) => (finding.state === 'missing' ? { ...finding, state: 'note' } : finding));
}

/** @param isSpare only a private redis-server needs it */
async function checkTemporaryFolder(isSpare: boolean): Promise<Finding[]> {
  const remedy = 'Set TMPDIR to a folder on a working disk that you may write to.';
  const findings = await checkFolder('temporary folder', resolve(tmpdir()), { need: null, remedy });
  return isSpare
    ? findings.map((finding) => (finding.state === 'missing' ? { ...finding, state: 'note' } : finding))
    : findings;
}

/** Bytes that a run of a model takes on the disk by default; without one checkpoint's it fails. */
interface DiskNeed {
  model: string;
  checkpoint: number;
  all: number;
}

/** @param need null: nothing large is written there */
async function checkFolder(
  subject: string,
  there: string,
  { need, remedy }: { need: DiskNeed | null; remedy: string },
): Promise<Finding[]> {
  try {
    if (!(await stat(there)).isDirectory()) {
      return [missing(subject, `${quoteName(there)} is not a folder.`, remedy)];
    }
    await access(there, constants.W_OK | constants.X_OK);
    const { bavail, bsize } = await statfs(there);
    const free = bavail * bsize;
    const room = `${gigabytes(free)} free in ${quoteName(there)}`;
    if (need === null) return [ok(subject, room)];
    const { model, checkpoint, all } = need;
    if (free < checkpoint) {
      return [missing(subject, `${room}; a checkpoint of CORnet-${model} takes ${gigabytes(checkpoint)}.`)];
    }
    const takes = `the checkpoints of a run of CORnet-${model} take up to ${gigabytes(all)}`;
    if (free < all) return [note(subject, `${room}; ${takes}.`)];
    return [ok(subject, `${room}; ${takes}`)];
  } catch (error) {
    const why = describeError(fileError(error, `write in ${quoteName(there)}`)).message;
    return [missing(subject, why, remedy)];
  }
}

async function nearestExisting(path: string): Promise<string> {
  const found = await stat(path).catch((error: unknown) => {
    if (systemCode(error) === 'ENOENT' || systemCode(error) === 'ENOTDIR') return null;
    throw error;
  });
  return found !== null || dirname(path) === path ? path : nearestExisting(dirname(path));
}

/** Of the model that needs most. */
async function needOf(models: readonly string[]): Promise<DiskNeed> {
  const { saveModelEpochs, keepCheckpoints, times } = defaults;
  const needs = await Promise.all(
    models.map(async (given) => {
      const { model = given, own } = await withOwnModel<WithOwnModel>({ model: given }, times);
      const { epochs } = isPublished(model) ? recipes[model] : (own?.recipe ?? recipes.R);
      const kept = { permanent: Math.floor(epochs / saveModelEpochs), keepCheckpoints };
      const network = networkOf({ model, custom: own?.graph, times, head: imageNetClasses });
      return { model, ...bytesOfCheckpoints(network, kept) };
    }),
  );
  return needs.reduce((most, need) => (need.all > most.all ? need : most));
}

/** Node raises the soft limit to the hard one by itself, and its children inherit that. */
function checkOpenFiles(): Finding[] {
  const subject = 'open files';
  const { userLimits } = process.report.getReport() as unknown as {
    userLimits?: { open_files: { hard: number | 'unlimited' } };
  };
  const limit = userLimits?.open_files.hard;
  if (limit === undefined) return [note(subject, 'This system does not tell its limit.')];
  if (limit === 'unlimited' || limit >= limits.openFiles) return [ok(subject, `up to ${limit}`)];
  return [note(subject, `up to ${limit}: ulimit -Hn ${limits.openFiles} would be on the safe side.`)];
}

function checkMemory(): Finding[] {
  const available = process.availableMemory();
  const text = `${gigabytes(available)} of ${gigabytes(totalmem())} available`;
  if (available >= limits.memory) return [ok('memory', text)];
  return [note('memory', `${text}: a small batch and one worker may be all that fits.`)];
}
