/** Every error a user can cause or meet: its sentence is written where it happens, its way out stands here. */
import { oneLine, printable, shortened } from './util/printable.ts';

/** Exit codes: 0 the run is complete, 1 an error, 2 wrong usage, 75 stopped but resumable (EX_TEMPFAIL). */
export const exitCodes = { complete: 0, error: 1, usage: 2, resumable: 75 } as const;

/** Code → what it means and what to do next (the default hint). */
export const errorTable = {
  OPTION_INVALID: {
    exit: exitCodes.usage,
    meaning: 'An option has a value that cannot be used.',
    remedy: 'See `coordinator start --help` for every option with its unit and default.',
  },
  DATA_MISSING: {
    exit: exitCodes.error,
    meaning: 'The data folder, or a part of it that is needed, does not exist or holds no images.',
    remedy:
      'Give --data-path a folder with train/<class>/*.JPEG and val/<class>/*.JPEG (ImageNet as torchvision reads it); for coordinator test, any folder of images.',
  },
  DATA_INVALID: {
    exit: exitCodes.error,
    meaning: 'The data set is there, but it cannot be trained or validated on as it is.',
    remedy: 'Training needs 2 to 1000 classes, the same ones in train and val, each with at least one image.',
  },
  IMAGE_UNREADABLE: {
    exit: exitCodes.error,
    meaning: 'An image file cannot be decoded.',
    remedy:
      'Repair or remove the file, on every host that serves the run, or go on without it: --skip-unreadable.',
  },
  IMAGE_UNREACHABLE: {
    exit: exitCodes.error,
    meaning:
      'An image file is not handed out by the system: gone, forbidden, a failing disk or network, no memory, too many open files.',
    remedy:
      'Mend that and start again with --resume. --skip-unreadable is for files that are damaged, the same ones on every host.',
  },
  DISK_FULL: {
    exit: exitCodes.error,
    meaning: 'The disk, the quota or the largest size of a file is used up where the run writes.',
    remedy: 'Make room and start again with --resume: the last checkpoint is untouched.',
  },
  READ_BACK_DIFFERS: {
    exit: exitCodes.error,
    meaning: 'A checkpoint was written, and the disk gives back something else.',
    remedy:
      'Look at the disk and the memory of this machine (dmesg, smartctl), or use another disk; then start again with --resume: the last checkpoint is untouched.',
  },
  OPEN_FILES_LIMIT: {
    exit: exitCodes.error,
    meaning: 'The system lets a process, or all of them together, have too few files open.',
    remedy:
      'Raise the limit: ulimit -n 1024 (batch systems, systemd and containers have a setting of their own), and give the same command again.',
  },
  FOLDER_NOT_WRITABLE: {
    exit: exitCodes.error,
    meaning: 'A file or folder cannot be written or read where the run needs it.',
    remedy: 'Give --output-path a folder on a working disk that you may write to.',
  },
  RUN_EXISTS: {
    exit: exitCodes.error,
    meaning: 'The output folder already holds a run.',
    remedy: 'Continue that run with --resume, or give another --output-path.',
  },
  OUTPUT_EXISTS: {
    exit: exitCodes.error,
    meaning: 'A file that would be written is there already, and was made with other settings.',
    remedy: 'Move or remove the named file, or give another --output-path.',
  },
  INFERENCE_UNFINISHED: {
    exit: exitCodes.usage,
    meaning: 'The output folder holds an unfinished inference run that was begun with other settings.',
    remedy: 'Finish it with its own settings, remove the named folder, or give another --output-path.',
  },
  RUN_MISSING: {
    exit: exitCodes.error,
    meaning: 'There is no run to resume in the output folder.',
    remedy: 'Check --output-path, or start a new run without --resume.',
  },
  RUN_LOCKED: {
    exit: exitCodes.error,
    meaning: 'Another coordinator works on this run folder.',
    remedy: 'Wait for it or stop it; two coordinators on one run would spoil each other.',
  },
  RUN_DAMAGED: {
    exit: exitCodes.error,
    meaning: 'A file of the run folder does not hold what it should.',
    remedy: 'Restore the named file from a copy, or start a new run in another folder.',
  },
  RUN_FORMAT: {
    exit: exitCodes.error,
    meaning:
      'A run folder or a checkpoint was written by another version of cornet-ts, whose results may have other bits.',
    remedy:
      'Go on with the version that began the run, or begin a new one from its last checkpoint, with --restore-path and another folder.',
  },
  CHECKPOINT_DAMAGED: {
    exit: exitCodes.error,
    meaning: 'A checkpoint is missing, torn or altered, or belongs to another model.',
    remedy: 'Use an earlier checkpoint of the run with --resume --restore-path <file>.',
  },
  CHECKPOINT_DIFFERS: {
    exit: exitCodes.error,
    meaning: 'A run was to go on from a checkpoint that another run has written.',
    remedy:
      "Give --resume one of the run's own checkpoints. To go on from another run's, begin a new run: --restore-path without --resume, and another --output-path.",
  },
  SAFETENSORS_INVALID: {
    exit: exitCodes.error,
    meaning: 'A file is not a well-formed safetensors file.',
    remedy: 'Copy or download the file again.',
  },
  WEIGHTS_MISSING: {
    exit: exitCodes.error,
    meaning: 'There is no file of weights, and no checkpoint of a run, where one was named.',
    remedy: 'Give a .safetensors, .pth or .pth.tar file, the folder of a run, or the word pretrained.',
  },
  WEIGHTS_INVALID: {
    exit: exitCodes.error,
    meaning: 'A file of weights is cut off, damaged, or not of a kind that can be read.',
    remedy:
      'Copy or download it again; safetensors and whatever torch.save writes of a state dict can be read.',
  },
  WEIGHTS_FORBIDDEN: {
    exit: exitCodes.error,
    meaning:
      'What is needed of a file of torch.save is an object that only Python could make, by running what the file names; here nothing is run.',
    remedy:
      'If you trust it, load it in Python and save only its state dict: torch.save(model.state_dict(), "weights.pth").',
  },
  WEIGHTS_MISMATCH: {
    exit: exitCodes.error,
    meaning: 'The entries of a file of weights are not those of the model.',
    remedy: 'Check --model (and that the file is of a CORnet); every entry that differs is named.',
  },
  WEIGHTS_AMBIGUOUS: {
    exit: exitCodes.usage,
    meaning:
      'A file holds several sets of weights that fit the model, an average beside the last ones for instance.',
    remedy: 'Choose one with --weights-key: the sentence lists the keys.',
  },
  WEIGHTS_NOT_FINITE: {
    exit: exitCodes.error,
    meaning: 'Weights, running statistics or momentum hold NaN, infinite values or negative variances.',
    remedy: 'The training that wrote them has diverged: choose an earlier checkpoint of it.',
  },
  DOWNLOAD_FAILED: {
    exit: exitCodes.error,
    meaning: 'The published weights cannot be downloaded.',
    remedy: 'Try again: what has arrived is kept. Behind a proxy set HTTPS_PROXY.',
  },
  REDIS_URL_INVALID: {
    exit: exitCodes.usage,
    meaning: 'The address of Redis cannot be understood.',
    remedy:
      'Write redis://[user:password@]host[:port][/db], rediss://host[?ca=/path/ca.pem] for TLS, unix:///path/to/redis.sock, or redis+sentinel://[user:password@]host1:26379,host2:26379/master-name[/db] for Sentinels (?sentinelPassword=… where they have one of their own). In user and password write %23 for #, %3F for ?, %2F for /, %40 for @, %3A for : and %25 for %.',
  },
  REDIS_UNREACHABLE: {
    exit: exitCodes.error,
    meaning: 'No Redis answers at the given address, or no Sentinel knows where the master is.',
    remedy:
      'Check that the server runs and that host, port and firewall let this machine reach it; --wait 60 waits a minute for it.',
  },
  REDIS_REFUSED: {
    exit: exitCodes.error,
    meaning: 'Redis refuses the user or password, or forbids that user what a run needs.',
    remedy:
      'Give user and password in the URL, best in the environment variable CORNET_REDIS_URL; docs/security.md shows what that user must be allowed.',
  },
  REDIS_UNSUITABLE: {
    exit: exitCodes.error,
    meaning:
      'Redis is too old, of a kind that cannot carry a run (cluster, replica, Sentinel), without room for its data or connections, or allowed to throw data away.',
    remedy: 'Use Redis 6.2 or newer with maxmemory-policy noeviction and enough maxmemory (or none).',
  },
  REDIS_FULL: {
    exit: exitCodes.error,
    meaning: 'Redis has reached its memory limit.',
    remedy: 'Raise maxmemory of the server and start again with --resume.',
  },
  REDIS_DATA_INVALID: {
    exit: exitCodes.error,
    meaning: 'What stands in Redis under a name of the run is not what the run wrote there.',
    remedy: 'See who else can write to that Redis (docs/security.md); start again with --resume.',
  },
  REDIS_SERVER_FAILED: {
    exit: exitCodes.error,
    meaning: 'The private redis-server of the run is not installed, does not start, or dies again and again.',
    remedy:
      'Install it (Debian, Ubuntu: apt-get install redis-server), or give --redis the URL of a running one.',
  },
  BLOB_DAMAGED: {
    exit: exitCodes.error,
    meaning: 'Data passed between workers did not arrive as it was sent.',
    remedy: 'Check memory and network of the machines; start again with --resume.',
  },
  BACKEND_UNAVAILABLE: {
    exit: exitCodes.error,
    meaning: 'The tensor library that was asked for is not built or cannot be loaded on this machine.',
    remedy:
      'Run `coordinator setup` (in a clone: `npm run setup`), which fetches libtorch and builds the addon.',
  },
  DEVICE_UNAVAILABLE: {
    exit: exitCodes.error,
    meaning:
      'The device that was asked for does not exist, or the tensor library was built without support for it.',
    remedy:
      'Choose another device, or get a libtorch with CUDA: `coordinator setup --libtorch wheel` (in a clone: `npm run setup -- --libtorch wheel`).',
  },
  DEVICE_MEMORY: {
    exit: exitCodes.error,
    meaning: 'A batch does not fit into the memory of the device.',
    remedy:
      'Use more --lanes (they run one after another on one GPU), a smaller --batch-size, or --precision bf16.',
  },
  DEVICE_FAILED: {
    exit: exitCodes.error,
    meaning:
      'A GPU stopped computing: its driver or a library reports a fault of the device, not of the work. Its worker ends and is started again; the run goes on with the others.',
    remedy:
      'Look at `nvidia-smi -q` and at the Xid lines of `dmesg` on that host. If it happens again, reset or leave out the GPU.',
  },
  NORM_ONE_VALUE: {
    exit: exitCodes.usage,
    meaning: 'A batch normalisation would see a single value per channel while training and divide by zero.',
    remedy:
      'Use a larger batch, fewer lanes or a larger image size, so that each lane has at least two images.',
  },
  TENSOR_OPERATION: {
    exit: exitCodes.error,
    meaning: 'The tensor library refused an operation; its own words are in the message.',
    remedy: 'Please report it with the log of the run.',
  },
  CONTROL_TOKEN_INVALID: {
    exit: exitCodes.usage,
    meaning: 'The control token of the live page cannot be read, or is too short.',
    remedy:
      'Make one with `openssl rand -hex 16 > FILE`, chmod 600 it, and give it with --control-token-file FILE.',
  },
  PORT_UNAVAILABLE: {
    exit: exitCodes.error,
    meaning: 'The address and port that metrics are to be served on cannot be had.',
    remedy:
      'Give --metrics-port another port (0: any that is free), and --metrics-host an address of this machine.',
  },
  RUN_UNKNOWN: {
    exit: exitCodes.error,
    meaning: 'Redis does not know the run that a worker is to serve.',
    remedy:
      'Check --redis and --run against what `coordinator start` printed; the coordinator must be running.',
  },
  COORDINATOR_GONE: {
    exit: exitCodes.error,
    meaning: 'The coordinator of the run has not been heard for longer than --worker-timeout.',
    remedy: 'Start it again with --resume, then this worker.',
  },
  WORKER_VERSION: {
    exit: exitCodes.error,
    meaning: 'Coordinator and worker are of different versions of cornet-ts.',
    remedy: 'Install the same version on every host.',
  },
  DATA_DIFFERS: {
    exit: exitCodes.error,
    meaning: 'The data set is not the one that the run began with.',
    remedy: 'Give --data-path the same files (names and sizes) on every host and at every resume.',
  },
  NUMERICS_DIFFER: {
    exit: exitCodes.error,
    meaning:
      'A worker computes other bits than the run: another library, processor, GPU or number of threads.',
    remedy: 'Use workers of one kind, with the backend, its library and the --threads of the run.',
  },
  PIXELS_DIFFER: {
    exit: exitCodes.error,
    meaning:
      'A worker decodes images to other pixels than the run: with another library, or another version of it.',
    remedy: 'Run coordinator setup on every host, from the same version of cornet-ts.',
  },
  NOT_DETERMINISTIC: {
    exit: exitCodes.error,
    meaning: 'The same shard gave different bits when it was computed twice.',
    remedy:
      'Check the memory of the machines named, and whether something else fills the memory of a GPU: cuDNN then computes another way. The last checkpoint is good unless the machine has computed wrongly before: start again with --resume (--audit compares more shards).',
  },
  NOT_FINITE: {
    exit: exitCodes.error,
    meaning: 'A loss or a gradient is not a finite number.',
    remedy: 'Start a new run from the last good checkpoint (--restore-path) with a lower --lr.',
  },
  WORKER_KILLED: {
    exit: exitCodes.error,
    meaning: 'The process of a worker was killed from outside.',
    remedy:
      'See who did it: the system, for want of memory (dmesg), a batch system, or a user. The run goes on with the others; start the worker again.',
  },
  POISON_SHARD: {
    exit: exitCodes.error,
    meaning: 'Workers died, or something failed on their hosts, one after the other, at the same shard.',
    remedy:
      'Look at the last lines of the workers in log.jsonl and at the images named; then start again with --resume.',
  },
  WORKER_FAILED: {
    exit: exitCodes.error,
    meaning: 'A local worker ends before it can join, each time it is started, and there is no other worker.',
    remedy: 'The sentence quotes its last words; the whole is in log.jsonl.',
  },
  BLOB_LOST: {
    exit: exitCodes.error,
    meaning: 'What workers publish in Redis vanishes before the others can read it.',
    remedy: 'Make sure that nothing else deletes keys there; start again with --resume.',
  },
  NO_WORKER: {
    exit: exitCodes.error,
    meaning: 'No worker has come within --worker-timeout.',
    remedy: 'Start workers (`worker start`), then the run again with --resume.',
  },
  INTERRUPTED: {
    exit: exitCodes.resumable,
    meaning: 'The command was interrupted while it started.',
    remedy: 'Nothing has changed: give the same command again.',
  },
  RESULT_OPTION_CHANGED: {
    exit: exitCodes.usage,
    meaning: 'A resume was asked for with options that would change the result.',
    remedy: 'Leave the named options away, or start a new run in another folder.',
  },
  INTERNAL: {
    exit: exitCodes.error,
    meaning: 'Something that should be impossible happened.',
    remedy: 'Please report it with the log of the run.',
  },
} as const satisfies Record<string, { exit: number; meaning: string; remedy: string }>;

export type ErrorCode = keyof typeof errorTable;

export const errorCodes = Object.keys(errorTable) as ErrorCode[];

/** Characters; a crafted file may have names of megabytes. */
const longestMessage = 32_768;

/** An error meant for the user: a code, one full sentence, and what to do next. */
export class CornetError extends Error {
  override readonly name = 'CornetError';
  readonly code: ErrorCode;
  readonly hint: string;

  constructor(code: ErrorCode, message: string, options: { hint?: string; cause?: unknown } = {}) {
    // Names in it may come from outside. A decoder's sentence is a single one, with the path of the image as it is.
    const short = shortened(message, longestMessage);
    const harmless = code.startsWith('IMAGE_') ? oneLine(short) : printable(short);
    super(harmless, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.hint = printable(shortened(options.hint ?? errorTable[code].remedy, longestMessage));
  }

  get exitCode(): number {
    return errorTable[this.code].exit;
  }

  /** The error as plain data, to cross a thread, a stream or a job. */
  toJSON(): { code: ErrorCode; message: string; hint: string } {
    return { code: this.code, message: this.message, hint: this.hint };
  }

  static fromJSON(plain: { code: string; message: string; hint?: string | undefined }): CornetError {
    const code = plain.code in errorTable ? (plain.code as ErrorCode) : 'INTERNAL';
    return new CornetError(code, plain.message, plain.hint === undefined ? {} : { hint: plain.hint });
  }
}

/** Anything thrown, as plain data: a CornetError keeps its code, everything else is INTERNAL with its stack. */
export function describeError(error: unknown): { code: ErrorCode; message: string; hint: string } {
  if (error instanceof CornetError) return error.toJSON();
  const message = error instanceof Error ? (error.stack ?? error.message) : String(error);
  return { code: 'INTERNAL', message, hint: errorTable.INTERNAL.remedy };
}
