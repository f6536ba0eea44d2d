/** Every error a user can cause or meet: its sentence is written where it happens, its remedy stands here. */
import { oneLine, printable, shortened } from './util/printable.ts';

/** Exit codes: 0 the run is complete, 1 an error, 2 wrong usage, 75 stopped but resumable (EX_TEMPFAIL). */
export const exitCodes = { complete: 0, error: 1, usage: 2, resumable: 75 } as const;

/** Code → what it means and what to do next (the default hint). */
export const errorTable = {
  OPTION_INVALID: {
    exit: exitCodes.usage,
    meaning: 'An option has a value that cannot be used.',
    remedy: 'Add --help to the command to see its options, or --help-all where it has that.',
  },
  MODEL_INVALID: {
    exit: exitCodes.usage,
    meaning: 'The file of a custom model cannot be used.',
    remedy: 'See docs/custom-models.md for how such a file is written.',
  },
  DATA_MISSING: {
    exit: exitCodes.error,
    meaning: 'The data folder, or a required part of it, does not exist or contains no images.',
    remedy:
      'Set --data-path to a folder with train/<class>/*.JPEG and val/<class>/*.JPEG (ImageNet as torchvision reads it), or with archives of them (docs/data.md); `coordinator test` and `coordinator predict` take any folder of images.',
  },
  DATA_INVALID: {
    exit: exitCodes.error,
    meaning: 'The data set exists, but cannot be used for training or validation as it is.',
    remedy:
      'Training needs at least two classes, the same ones in train and val, each with at least one image; validation, images of classes that the weights have an output for.',
  },
  IMAGE_UNREADABLE: {
    exit: exitCodes.error,
    meaning: 'An image file cannot be decoded.',
    remedy:
      'Skip such files with --skip-unreadable; `coordinator check-data` lists those of a data set. A file that is removed, or repaired to another size, makes another data set, which needs a new run.',
  },
  IMAGE_UNREACHABLE: {
    exit: exitCodes.error,
    meaning:
      'An image file cannot be read from disk: missing, permission, I/O error, no memory, too many open files.',
    remedy:
      'Fix the cause and start again (training: with --resume). --skip-unreadable is for damaged files, which are the same on every host.',
  },
  DISK_FULL: {
    exit: exitCodes.error,
    meaning: 'The disk is full where the run writes, or its quota or file size limit is reached.',
    remedy: 'Free some space and start again (training: with --resume): what was written before is intact.',
  },
  READ_BACK_DIFFERS: {
    exit: exitCodes.error,
    meaning: 'A checkpoint was written, but the disk returns different bytes.',
    remedy:
      'Check the disk and the memory of this machine (dmesg, smartctl), or use another disk; then resume with --resume: the last checkpoint is intact.',
  },
  OPEN_FILES_LIMIT: {
    exit: exitCodes.error,
    meaning: 'This process, or the whole system, has reached its limit of open files.',
    remedy:
      'Raise the limit: ulimit -n 1024 (batch systems, systemd and containers have their own setting), then run the same command again.',
  },
  FOLDER_NOT_WRITABLE: {
    exit: exitCodes.error,
    meaning: 'The run cannot write or read a file or folder that it needs.',
    remedy: 'Set --output-path to a folder on a working disk that you may write to.',
  },
  RUN_EXISTS: {
    exit: exitCodes.error,
    meaning: 'The output folder already contains a run.',
    remedy: 'Continue that run with --resume, or use another --output-path.',
  },
  OUTPUT_EXISTS: {
    exit: exitCodes.error,
    meaning: 'An output file already exists and was made with other settings, or nobody knows with which.',
    remedy: 'Move or remove what is there, or use another --output-path.',
  },
  INFERENCE_UNFINISHED: {
    exit: exitCodes.usage,
    meaning:
      'The output folder contains an unfinished feature extraction, prediction or validation that was started with other settings.',
    remedy: 'Finish it with its own settings, remove that folder, or use another --output-path.',
  },
  RUN_MISSING: {
    exit: exitCodes.error,
    meaning: 'The folder contains no run.',
    remedy:
      'Give the folder of a run, which holds its config.json: the --output-path of its `coordinator start`.',
  },
  RUN_LOCKED: {
    exit: exitCodes.error,
    meaning: 'Another coordinator is working on this run.',
    remedy: 'Wait for it, or stop it: two coordinators would corrupt the run.',
  },
  RUN_DAMAGED: {
    exit: exitCodes.error,
    meaning: 'A file of the run folder is damaged.',
    remedy: 'Restore that file from a copy, or start a new run in another folder.',
  },
  RUN_FORMAT: {
    exit: exitCodes.error,
    meaning:
      'A run folder or checkpoint was written by another version of cornet-ts, whose results may differ in their bits.',
    remedy:
      'Continue with the version that started the run, or start a new run from its last checkpoint: --restore-path and another folder.',
  },
  CHECKPOINT_DAMAGED: {
    exit: exitCodes.error,
    meaning: 'A checkpoint is missing, torn or altered, or belongs to another model.',
    remedy: 'Use an earlier checkpoint of the run: --resume --restore-path <file>.',
  },
  CHECKPOINT_DIFFERS: {
    exit: exitCodes.error,
    meaning: 'A resume was given a checkpoint that another run has written.',
    remedy:
      'Give --resume a checkpoint of the same run. To continue from another run, start a new one: --restore-path without --resume, and another --output-path.',
  },
  SAFETENSORS_INVALID: {
    exit: exitCodes.error,
    meaning: 'A file is not a well-formed safetensors file.',
    remedy: 'Copy or download the file again.',
  },
  WEIGHTS_MISSING: {
    exit: exitCodes.error,
    meaning: 'The named place has no weights file and no run with a checkpoint.',
    remedy: 'Name a .safetensors, .pth or .pth.tar file, a run folder, or the word pretrained.',
  },
  WEIGHTS_INVALID: {
    exit: exitCodes.error,
    meaning: 'A weights file is truncated, damaged, or of a kind that cannot be read.',
    remedy:
      'Copy or download it again. Safetensors files can be read, and any state dict that torch.save has written.',
  },
  WEIGHTS_FORBIDDEN: {
    exit: exitCodes.error,
    meaning:
      'A required part of a torch.save file is an object that only Python could make, by running code that the file names. cornet-ts runs none.',
    remedy:
      'If you trust the file, load it in Python and save only its state dict: torch.save(model.state_dict(), "weights.pth").',
  },
  WEIGHTS_MISMATCH: {
    exit: exitCodes.error,
    meaning: 'The entries of a weights file do not match the model.',
    remedy: 'Check --model, and that the file is of a CORnet; the message names every entry that differs.',
  },
  WEIGHTS_AMBIGUOUS: {
    exit: exitCodes.usage,
    meaning:
      'A file contains several sets of weights that match the model, such as an average besides the latest weights.',
    remedy: 'Choose one with --weights-key: the message lists the keys.',
  },
  WEIGHTS_NOT_FINITE: {
    exit: exitCodes.error,
    meaning: 'Weights, running statistics or momentum contain NaN, infinite values or negative variances.',
    remedy: 'The training that wrote them has diverged: choose an earlier checkpoint of it.',
  },
  DOWNLOAD_FAILED: {
    exit: exitCodes.error,
    meaning: 'The published weights cannot be downloaded.',
    remedy: 'Try again: the download resumes where it stopped. Behind a proxy, set HTTPS_PROXY.',
  },
  REDIS_URL_INVALID: {
    exit: exitCodes.usage,
    meaning: 'The Redis URL is not valid.',
    remedy:
      'Write redis://[user:password@]host[:port][/db], rediss://host[?ca=/path/ca.pem] for TLS, unix:///path/to/redis.sock, or redis+sentinel://[user:password@]host1:26379,host2:26379/master-name[/db] for Sentinels (?sentinelPassword=… where they have one of their own). In user and password write %23 for #, %3F for ?, %2F for /, %40 for @, %3A for : and %25 for %.',
  },
  REDIS_UNREACHABLE: {
    exit: exitCodes.error,
    meaning: 'No Redis answers at the given address, or no Sentinel knows the master.',
    remedy:
      'Check that the server is running and that host, port and firewall let this machine reach it. A start waits for it for a minute with --wait 60.',
  },
  REDIS_REFUSED: {
    exit: exitCodes.error,
    meaning:
      'Redis rejects the user or password, or does not grant that user the permissions that a run needs.',
    remedy:
      'Put user and password into the URL, preferably in the environment variable CORNET_REDIS_URL; docs/security.md lists the permissions that the user needs.',
  },
  REDIS_UNSUITABLE: {
    exit: exitCodes.error,
    meaning:
      'Redis is too old, of a kind that cannot carry a run (cluster, replica, Sentinel), out of memory or connections, or configured to evict data.',
    remedy: 'Use Redis 6.2 or newer with maxmemory-policy noeviction and enough maxmemory (or none).',
  },
  REDIS_FULL: {
    exit: exitCodes.error,
    meaning: 'Redis has reached its memory limit.',
    remedy: "Raise the server's maxmemory and start again (training: with --resume).",
  },
  REDIS_DATA_INVALID: {
    exit: exitCodes.error,
    meaning: "Redis holds data under one of the run's keys that the run did not write.",
    remedy:
      'Find out who else can write to that Redis (docs/security.md), and start again (training: with --resume).',
  },
  REDIS_SERVER_FAILED: {
    exit: exitCodes.error,
    meaning: "The run's private redis-server is not installed, does not start, or keeps dying.",
    remedy:
      'Install it (Debian, Ubuntu: apt-get install redis-server), or set --redis to the URL of a running one.',
  },
  BLOB_DAMAGED: {
    exit: exitCodes.error,
    meaning: 'Data that workers exchanged did not arrive as it was sent.',
    remedy: 'Check the memory and the network of the machines, and start again (training: with --resume).',
  },
  BACKEND_UNAVAILABLE: {
    exit: exitCodes.error,
    meaning: 'The requested tensor library is not built, or cannot be loaded on this machine.',
    remedy:
      'Run `coordinator setup` (in a clone: `npm run setup`), which fetches libtorch and builds the addon.',
  },
  DEVICE_UNAVAILABLE: {
    exit: exitCodes.error,
    meaning: 'The requested device does not exist, or the tensor library was built without support for it.',
    remedy:
      'Choose another device, or install a libtorch with CUDA: `coordinator setup --libtorch wheel` (in a clone: `npm run setup -- --libtorch wheel`).',
  },
  DEVICE_MEMORY: {
    exit: exitCodes.error,
    meaning: 'A batch does not fit into the memory of the device.',
    remedy:
      'Use more --lanes (one GPU computes them one after another), a smaller --batch-size, or --precision bf16.',
  },
  DEVICE_FAILED: {
    exit: exitCodes.error,
    meaning:
      'A GPU stopped computing: its driver or a library reports a fault of the device, not of the work. Its worker is restarted; the run continues with the others.',
    remedy:
      'Check `nvidia-smi -q` and the Xid lines of `dmesg` on that host. If it happens again, reset the GPU or exclude it.',
  },
  NORM_ONE_VALUE: {
    exit: exitCodes.usage,
    meaning: 'A batch normalisation would see a single value per channel in training, and divide by zero.',
    remedy:
      'Use a larger batch, fewer lanes or a larger image size, so that each lane has at least two images.',
  },
  TENSOR_OPERATION: {
    exit: exitCodes.error,
    meaning: 'The tensor library rejected an operation; the message quotes it.',
    remedy: 'Please report this, with the log of the run.',
  },
  CONTROL_TOKEN_INVALID: {
    exit: exitCodes.usage,
    meaning: 'The control token of the live page cannot be read, or is too short.',
    remedy:
      'Make one with `openssl rand -hex 16 > FILE`, protect it with chmod 600, and pass it with --control-token-file FILE.',
  },
  PORT_UNAVAILABLE: {
    exit: exitCodes.error,
    meaning: 'The address and port for metrics, or for serving vectors to other hosts, are not available.',
    remedy:
      'Set --metrics-port to another port (0: any free one), and --metrics-host to an address of this machine; for vectors, --blob-ports and --blob-host.',
  },
  RUN_UNKNOWN: {
    exit: exitCodes.error,
    meaning: 'Redis does not know the run that a worker was told to serve, or that a command names.',
    remedy:
      'Compare --redis and --run with what `coordinator start` printed; the coordinator must be running.',
  },
  ORDER_FAILED: {
    exit: exitCodes.error,
    meaning:
      'A run cannot do what `coordinator stop`, `checkpoint` or `drain` told it: no coordinator is at work on it, or it refused.',
    remedy: 'Look at the run with `coordinator status <run>`.',
  },
  ORDER_UNCONFIRMED: {
    exit: exitCodes.error,
    meaning:
      'The coordinator, or its Redis, has not answered `coordinator stop`, `checkpoint` or `drain` in time.',
    remedy:
      'Look at the run with `coordinator status <run>`, and give the order again: an order that is given twice is harmless.',
  },
  COORDINATOR_GONE: {
    exit: exitCodes.error,
    meaning: "The worker has not heard from the run's coordinator for longer than --worker-timeout.",
    remedy: 'Restart the coordinator (training: with --resume), then this worker.',
  },
  WORKER_VERSION: {
    exit: exitCodes.error,
    meaning: 'Coordinator and worker are different versions of cornet-ts.',
    remedy: 'Install the same version on every host.',
  },
  DATA_DIFFERS: {
    exit: exitCodes.error,
    meaning: 'The data set differs from the one that the run started with.',
    remedy: 'Use the same files (names and sizes) for --data-path on every host and at every resume.',
  },
  NUMERICS_DIFFER: {
    exit: exitCodes.error,
    meaning:
      'A worker computes different bits than the run: another library, processor, GPU or number of threads.',
    remedy: "Use workers of one kind, with the run's backend, library and --threads.",
  },
  PIXELS_DIFFER: {
    exit: exitCodes.error,
    meaning:
      'A worker decodes images to different pixels than the run, with another library or another version of it.',
    remedy: 'Run `coordinator setup` on every host, from the same version of cornet-ts.',
  },
  NOT_DETERMINISTIC: {
    exit: exitCodes.error,
    meaning: 'Computing the same shard twice gave different bits.',
    remedy:
      'Check the memory of the machines named, and whether another process fills the memory of a GPU: cuDNN then uses another algorithm. Unless a machine has erred before, the last checkpoint is good: resume with --resume (--audit compares more shards).',
  },
  NOT_FINITE: {
    exit: exitCodes.error,
    meaning: 'A loss or a gradient is not a finite number.',
    remedy:
      'Start a new run with a lower --lr, from the last good checkpoint if there is one (--restore-path).',
  },
  WORKER_KILLED: {
    exit: exitCodes.error,
    meaning: "Something outside the run killed a worker's process.",
    remedy:
      'Find out what did: the system, because memory ran out (dmesg), a batch system, or a user. The run continues with the other workers; start this one again.',
  },
  POISON_SHARD: {
    exit: exitCodes.error,
    meaning:
      'Workers died, or something failed on their hosts, one after another at the same shard or batch.',
    remedy:
      "Check the workers' last lines in log.jsonl and the images named; then start again (training: with --resume).",
  },
  WORKER_FAILED: {
    exit: exitCodes.error,
    meaning:
      'A local worker exits before it can join, every time it is started, and there is no other worker.',
    remedy: 'The message quotes its last output; see log.jsonl for all of it.',
  },
  BLOB_LOST: {
    exit: exitCodes.error,
    meaning: 'Data that workers publish in Redis disappears before the others can read it.',
    remedy: 'Make sure that nothing else deletes keys there, and start again (training: with --resume).',
  },
  NO_WORKER: {
    exit: exitCodes.error,
    meaning: 'No worker has joined within --worker-timeout.',
    remedy: 'Start workers (`worker start`), then start the run again (training: with --resume).',
  },
  INTERRUPTED: {
    exit: exitCodes.resumable,
    meaning: 'A command was interrupted during start-up, or a program aborted an inference.',
    remedy: 'Run the same command again: what was done is kept.',
  },
  RESULT_OPTION_CHANGED: {
    exit: exitCodes.usage,
    meaning: 'A resume was given options that would change the result.',
    remedy: 'Leave out what differs, or start a new run in another folder.',
  },
  INTERNAL: {
    exit: exitCodes.error,
    meaning: 'Something happened that should be impossible.',
    remedy: 'Please report this, with the log of the run.',
  },
} as const satisfies Record<string, { exit: number; meaning: string; remedy: string }>;

/** Codes of the table of all errors (docs/errors.md). */
export type ErrorCode = Extract<keyof typeof errorTable, string>;

export const errorCodes = Object.keys(errorTable) as ErrorCode[];

/** Characters; a crafted file may have names of megabytes. */
const longestMessage = 32_768;

/** An error meant for the user: a code, one full sentence, and what to do next. */
export class CornetError extends Error {
  override readonly name = 'CornetError';
  readonly code: ErrorCode;
  /** What to do next. */
  readonly hint: string;

  constructor(code: ErrorCode, message: string, options: { hint?: string; cause?: unknown } = {}) {
    // Names in it may come from outside. A decoder's sentence is a single one, with the path of the image as it is.
    const short = shortened(message, longestMessage);
    const harmless = code.startsWith('IMAGE_') ? oneLine(short) : printable(short);
    super(harmless, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.hint = printable(shortened(options.hint ?? errorTable[code].remedy, longestMessage));
  }

  /** That a command ends with. */
  get exitCode(): number {
    return errorTable[this.code].exit;
  }

  /** The error as plain data, to cross a thread, a stream or a job. */
  toJSON(): { code: ErrorCode; message: string; hint: string } {
    return { code: this.code, message: this.message, hint: this.hint };
  }

  /** What `toJSON` gave, as an error again. */
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
