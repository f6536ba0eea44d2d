/** Options by their names, as the table of all options has them. Made by `npm run docs:api`; a test compares the two. */
import type { Notice } from '../watch/news.ts';

/** What every call takes that begins a run. */
export interface CallOptions {
  /** Aborting it asks the run to stop; what is done is kept. */
  signal?: AbortSignal | undefined;
}

/** Those of `coordinator start`. */
export interface TrainOptions extends CallOptions {
  /** The run folder: configuration, log, metrics, checkpoints. */
  outputPath: string;
  /** Options from a YAML or JSON file or a run's config.json. What is given beside it wins. */
  config?: string | undefined;
  /** Resume the run in `outputPath`. */
  resume?: boolean | undefined;
  /** Resume if the folder holds a run, otherwise start. For schedulers that retry the same command. */
  autoResume?: boolean | undefined;
  /**
   * What you call the run: one line, at most 80 characters. `coordinator list`, `status`, the terminal and
   * the live page show it.
   */
  name?: string | undefined;
  /** What you want to remember of it: one line, at most 400 characters. */
  note?: string | undefined;
  /**
   * CORnet variant, or its file. RT is the paper's recurrent model; of a variant of your own the file (.ts,
   * .js), which is run once: every worker gets what it does. Required for a new run.
   */
  model?:
    | 'Z'
    | 'R'
    | 'RT'
    | 'S'
    | `${string}.ts`
    | `${string}.mts`
    | `${string}.js`
    | `${string}.mjs`
    | undefined;
  /** Time steps of R and RT. Unit: time steps. Default: 5. */
  times?: number | undefined;
  /** Side of the square input. Unit: pixels. Default: 224. */
  imageSize?: number | undefined;
  /**
   * Initial weights: a file, a run, or pretrained. A .safetensors, .pth or .pth.tar file; a run's folder,
   * RUN:best or RUN@0.5 (nearest to that epoch); pretrained: the published ones, downloaded once. Default:
   * random.
   */
  weights?: string | undefined;
  /**
   * Which weights of a file that holds several. The keys that lead to them and the prefix of their names
   * (state_dict_ema, model.student).
   */
  weightsKey?: string | undefined;
  /**
   * Outputs of the decoder. More than the data set has classes keeps room for others, or takes a larger head
   * as it is. Unit: outputs. Default: the classes of the data set.
   */
  head?: number | undefined;
  /**
   * Draw the head of `weights` anew. For another number of classes, or other ones; by the scheme of the
   * model, from `seed`.
   */
  newHead?: boolean | undefined;
  /**
   * Keep the rows of the head whose classes the data set has. The others are drawn as with `newHead`;
   * published weights know the classes of ImageNet by their WordNet ids.
   */
  extendHead?: boolean | undefined;
  /** Leave these as they are: V1,V2. Areas, layers or parameters; * for any characters, as in '*.norm*'. */
  freeze?: readonly string[] | undefined;
  /** Freeze all but these: decoder. Named as for `freeze`. */
  trainOnly?: readonly string[] | undefined;
  /**
   * Frozen batch normalisations use their running statistics. Otherwise they follow the batches, as in
   * PyTorch.
   */
  freezeNorms?: boolean | undefined;
  /**
   * Continue from this checkpoint. A file of a run, or a .pth.tar of the reference implementation; a run's
   * folder (its latest), RUN:best or RUN@0.5 (nearest to that epoch); with `resume`: one of the run's earlier
   * ones.
   */
  restorePath?: string | undefined;
  /**
   * Images in `train/<class>/*` and `val/<class>/*`. ImageNet as torchvision reads it. Required for a new
   * run.
   */
  dataPath?: string | undefined;
  /** Skip undecodable images instead of stopping. Each is replaced by another image of the shard. */
  skipUnreadable?: boolean | undefined;
  /**
   * Training images as a table: path,label. CSV or TSV with a header; left,top,width,height mark a part of
   * each image; paths are relative to `dataPath`.
   */
  trainList?: string | undefined;
  /** Validation images as a table, likewise. */
  valList?: string | undefined;
  /**
   * Classes to use, one per line; the order is that of the labels. Where the data have numbers, line i may be
   * the name of class i.
   */
  classes?: string | undefined;
  /**
   * Images to leave out, one path or pattern per line. class/name, with or without train/ or val/ before it;
   * a line without a slash is a name alone.
   */
  exclude?: string | undefined;
  /** Training images of each class, drawn with the seed. Unit: images. Default: all. */
  imagesPerClass?: number | undefined;
  /**
   * Validate on this part of the training images. Of each class, drawn with the seed; they are not trained
   * on. Default: validation images of their own.
   */
  valSplit?: number | undefined;
  /** Mean and std by which pixels are normalised. half: 0.5 and 0.5; none: 0 and 1. Default: imagenet. */
  normalize?: 'imagenet' | 'half' | 'none' | undefined;
  /** Means of the channels, 0 to 1, instead of those of `normalize`. */
  mean?: readonly [number, number, number] | undefined;
  /** Deviations of the channels, instead of those of `normalize`. */
  std?: readonly [number, number, number] | undefined;
  /** Images per step, over all lanes. Unit: images. Default: 256. */
  batchSize?: number | undefined;
  /** Passes over the training images. Unit: epochs. Default: 25; S: 43. */
  epochs?: number | undefined;
  /**
   * Stop after this many steps of the whole run. A resume keeps it unless `epochs` is given without it. Unit:
   * steps.
   */
  maxSteps?: number | undefined;
  /** Seed of initial weights, data order and augmentation. Default: 0. */
  seed?: number | undefined;
  /** Logical replicas; changes the result. Unit: lanes. Default: the local workers. */
  lanes?: number | undefined;
  /** tf32: GPU; bf16: mixed precision. Default: fp32. */
  precision?: 'fp32' | 'tf32' | 'bf16' | undefined;
  /** `false`: GPU only: fastest kernels; results are no longer reproducible. Default: true. */
  deterministic?: boolean | undefined;
  /** As PyTorch has it. Default: sgd. */
  optimizer?: 'sgd' | 'adamw' | undefined;
  /**
   * Running means of AdamW. Of the gradient, and of its square: how much of them each step keeps. Default:
   * 0.9,0.999.
   */
  betas?: readonly [number, number] | undefined;
  /** Largest norm of the gradient. Of all parameters together, as clip_grad_norm_; 0: any. Default: any. */
  clipNorm?: number | undefined;
  /** Initial learning rate. After the warm-up, if there is one; of AdamW 0.001. Default: 0.1; Z: 0.01. */
  learningRate?: number | undefined;
  /**
   * How the learning rate falls. Cosine and poly reach `minLr` at the end of the `epochs` that the run begins
   * with. Default: step.
   */
  schedule?: 'step' | 'cosine' | 'poly' | 'constant' | undefined;
  /** Divide the learning rate by 10 every n epochs. Of `schedule` step. Unit: epochs. Default: 10; S: 20. */
  stepSize?: number | undefined;
  /** Let the learning rate rise linearly at first. Unit: epochs. Default: 0. */
  warmupEpochs?: number | undefined;
  /** Learning rate at the end of `schedule` cosine or poly. Default: 0. */
  minLr?: number | undefined;
  /**
   * Multiply the learning rate of these: decoder=10. decoder=10,V1=0.1: named as for `freeze`, the longest
   * name counts; can be given several times.
   */
  lrScale?: string | undefined;
  /** Momentum of SGD. Default: 0.9. */
  momentum?: number | undefined;
  /** Nesterov momentum. */
  nesterov?: boolean | undefined;
  /** Weight decay. In the gradient; of AdamW 0.01, apart from it. Default: 0.0001. */
  weightDecay?: number | undefined;
  /** Part of the training target that all classes share. Default: 0. */
  labelSmoothing?: number | undefined;
  /**
   * Which part of a training image is seen. crop: torchvision's RandomResizedCrop, and a flip; center: as
   * validation, and a flip; none: as validation. Default: crop.
   */
  augment?: 'crop' | 'center' | 'none' | undefined;
  /** Share of an image's area that a crop has. Default: 0.08,1. */
  cropScale?: readonly [number, number] | undefined;
  /** Width of a crop by its height. Default: 3/4,4/3. */
  cropRatio?: readonly [number, number] | undefined;
  /** `false`: do not mirror half of the training images. Default: true. */
  flip?: boolean | undefined;
  /**
   * Turn training images by up to so much. To either side, as torchvision's RandomRotation, bilinear; what
   * comes into sight is black. Unit: degrees. Default: 0.
   */
  rotate?: number | undefined;
  /**
   * Brightness, contrast, saturation, hue: torchvision's ColorJitter. Factors from 1-x to 1+x, in an order
   * that is drawn, too; of the hue at most 0.5. Default: none.
   */
  colorJitter?: readonly [number, number, number, number] | undefined;
  /** Probability with which a training image loses its colours. Unit: probability. Default: 0. */
  grayscale?: number | undefined;
  /**
   * Gaussian blur of training images in pixels: 2, or 4:0,2:5,0:10. σ:epoch holds from that epoch on;
   * low:high@epoch draws each image's σ; as torchvision with a kernel of 2⌈3σ⌉+1 pixels. Default: none.
   */
  blur?: string | undefined;
  /** Write a checkpoint every n seconds. Unit: seconds. Default: 600. */
  saveModelSecs?: number | undefined;
  /** Keep a permanent checkpoint every n epochs. Unit: epochs. Default: 5. */
  saveModelEpochs?: number | undefined;
  /**
   * Keep permanent checkpoints at these points, too: 0,0.1,1 (epochs), 100s (a step), log:20 (20 steps).
   * Separated by commas; log:N spaces N steps evenly on a logarithmic scale, from step 1 to the last.
   */
  saveAt?: string | undefined;
  /** Validate every n epochs. Unit: epochs. Default: 0.5. */
  saveValEpochs?: number | undefined;
  /** Newest checkpoints to keep, besides the best and the permanent ones. Unit: checkpoints. Default: 3. */
  keepCheckpoints?: number | undefined;
  /** One worker per GPU, on those with most free memory (0: CPU). Unit: workers. */
  ngpus?: number | undefined;
  /** Workers on the CPU. Unit: workers. Default: 1 without `ngpus`. */
  cpuWorkers?: number | undefined;
  /** Image decoding concurrency of each worker. Unit: threads. Default: 4. */
  workers?: number | undefined;
  /** CPU threads per shard. Unit: threads. Default: cores / local workers, at least 1. */
  threads?: number | undefined;
  /** Tensor library. Default: torch. */
  backend?: 'torch' | 'tensorflow' | undefined;
  /**
   * Use this Redis instead of a private one. redis://, rediss://, unix:// or
   * redis+sentinel://host,host/master-name. Default: the environment variable CORNET_REDIS_URL.
   */
  redis?: string | undefined;
  /** How long to wait until that Redis is there and takes commands. Unit: seconds. Default: 0. */
  wait?: number | undefined;
  /** How long a step waits for workers that join. Unit: seconds. Default: 30. */
  joinTimeout?: number | undefined;
  /**
   * End the run after this long without any worker. A worker leaves after this long without its coordinator.
   * Unit: seconds. Default: 3600.
   */
  workerTimeout?: number | undefined;
  /**
   * Part of the shards that a second worker computes as well. As 1/1000 or 0.001; finds a device that
   * computes wrongly. Unit: part of the shards. Default: 0.
   */
  audit?: number | undefined;
  /**
   * How gradients travel between workers: auto (the quickest that works), or only memory, local, tcp, or
   * redis. memory: shared by the processes of one machine; local: unix sockets; tcp: from host to host;
   * whatever it says, Redis is used where the others cannot be. Default: auto.
   */
  carrier?: 'auto' | 'memory' | 'local' | 'tcp' | 'redis' | undefined;
  /**
   * Address at which this host's workers serve gradients to other hosts. Default: the one by which they reach
   * Redis.
   */
  blobHost?: string | undefined;
  /** Ports for that, e.g. 7000-7007, one for each worker of this host. Default: any that is free. */
  blobPorts?: string | undefined;
  /** Port of the live page and metrics. 0: any free one. Default: 9464, or any free one. */
  metricsPort?: number | undefined;
  /** Address of the live page and metrics. Default: 127.0.0.1, this machine only. */
  metricsHost?: string | undefined;
  /**
   * Anyone who has the token in this file can control the run on the live page. Default:
   * CORNET_CONTROL_TOKEN, else nobody.
   */
  controlTokenFile?: string | undefined;
  /**
   * Write the metrics for TensorBoard, too, into RUN/tensorboard. With the options for its HPARAMS tab, and a
   * picture of training images.
   */
  tensorboard?: boolean | undefined;
  /**
   * Send metrics and options to this MLflow server, too. MLFLOW_EXPERIMENT_NAME names the experiment
   * (cornet-ts without it); MLFLOW_TRACKING_TOKEN, or MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD,
   * hold credentials.
   */
  mlflow?: string | undefined;
  /** How long a result waits for a disk that is full or fails. Unit: seconds. Default: 600. */
  waitForDisk?: number | undefined;
}

/** Those of `coordinator test`. */
export interface ExtractFeaturesOptions extends CallOptions {
  /** Where the features go. */
  outputPath: string;
  /** Options from a YAML or JSON file or a run's config.json. What is given beside it wins. */
  config?: string | undefined;
  /**
   * CORnet variant, or its file. RT is the paper's recurrent model; of a variant of your own the file (.ts,
   * .js), which is run once: every worker gets what it does. Default: that of the run or checkpoint.
   */
  model?:
    | 'Z'
    | 'R'
    | 'RT'
    | 'S'
    | `${string}.ts`
    | `${string}.mts`
    | `${string}.js`
    | `${string}.mjs`
    | undefined;
  /** Time steps of R and RT. Unit: time steps. Default: that of the run or checkpoint, else 5. */
  times?: number | undefined;
  /** Side of the square input. Unit: pixels. Default: that of the run or checkpoint, else 224. */
  imageSize?: number | undefined;
  /**
   * A file, a run, pretrained, or untrained. A .safetensors, .pth or .pth.tar file; a run's folder (its
   * latest checkpoint), RUN:best or RUN@0.5 (nearest to that epoch). Default: pretrained.
   */
  weights?: string | undefined;
  /**
   * Which weights of a file that holds several. The keys that lead to them and the prefix of their names
   * (state_dict_ema, model.student).
   */
  weightsKey?: string | undefined;
  /** The images: every .jpg, .png, … in this folder. */
  dataPath: string;
  /** Include images in subfolders. */
  recursive?: boolean | undefined;
  /** Fill the rows of undecodable images with NaN and list them. */
  skipUnreadable?: boolean | undefined;
  /** Images per job; changes the result. Unit: images. Default: 32, fewer for large features. */
  batchSize?: number | undefined;
  /** Seed of `weights` untrained. Draws the same weights as a training with this seed. Default: 0. */
  seed?: number | undefined;
  /** tf32: GPU; bf16: mixed precision. Default: fp32. */
  precision?: 'fp32' | 'tf32' | 'bf16' | undefined;
  /**
   * Mean and std by which pixels are normalised. half: 0.5 and 0.5; none: 0 and 1. Default: that of the run
   * or checkpoint, else imagenet.
   */
  normalize?: 'imagenet' | 'half' | 'none' | undefined;
  /** Means of the channels, 0 to 1, instead of those of `normalize`. */
  mean?: readonly [number, number, number] | undefined;
  /** Deviations of the channels, instead of those of `normalize`. */
  std?: readonly [number, number, number] | undefined;
  /** One of V1, V2, V4, IT, decoder. Default: decoder. */
  layer?: string | undefined;
  /** Which output of the layer: output, conv1, …. Default: output; avgpool of the decoder. */
  sublayer?: string | undefined;
  /**
   * Instead of layer and sublayer: names, all, or everything. V4.output-t3,IT.output; all: outputs of the
   * areas and decoder.avgpool; everything: every output.
   */
  tap?: string | undefined;
  /**
   * The number of a module's call, from 0, or one of these. With `tap` all or everything the default is all.
   * Unit: calls of the layer's module. Default: last.
   */
  timeStep?: 'last' | 'all' | number | undefined;
  /**
   * Show R or RT a clip: one image per time step. Each folder in `dataPath` is a clip, and the images in it,
   * sorted by name, are its frames.
   */
  frames?: boolean | undefined;
  /** npy: one file per output; npz: one archive. Default: npy. */
  format?: 'npy' | 'npz' | undefined;
  /** Type of the features. Default: float32. */
  dtype?: 'float32' | 'float16' | undefined;
  /** One worker per GPU, on those with most free memory (0: CPU). Unit: workers. */
  ngpus?: number | undefined;
  /** Workers on the CPU. Unit: workers. Default: 1 without `ngpus`. */
  cpuWorkers?: number | undefined;
  /** Image decoding concurrency of each worker. Unit: threads. Default: 4. */
  workers?: number | undefined;
  /** CPU threads per job; changes the result. Unit: threads. Default: cores / local workers, at least 1. */
  threads?: number | undefined;
  /** Tensor library. Default: torch. */
  backend?: 'torch' | 'tensorflow' | undefined;
  /**
   * Use this Redis instead of a private one. redis://, rediss://, unix:// or
   * redis+sentinel://host,host/master-name. Default: the environment variable CORNET_REDIS_URL.
   */
  redis?: string | undefined;
  /** How long to wait until that Redis is there and takes commands. Unit: seconds. Default: 0. */
  wait?: number | undefined;
  /** How long a result waits for a disk that is full or fails. Unit: seconds. Default: 600. */
  waitForDisk?: number | undefined;
}

/** Those of `coordinator validate`. */
export interface ValidateOptions extends CallOptions {
  /** Where the two files of results go. Default: the current folder. */
  outputPath?: string | undefined;
  /** Options from a YAML or JSON file or a run's config.json. What is given beside it wins. */
  config?: string | undefined;
  /**
   * CORnet variant, or its file. RT is the paper's recurrent model; of a variant of your own the file (.ts,
   * .js), which is run once: every worker gets what it does. Default: that of the run or checkpoint.
   */
  model?:
    | 'Z'
    | 'R'
    | 'RT'
    | 'S'
    | `${string}.ts`
    | `${string}.mts`
    | `${string}.js`
    | `${string}.mjs`
    | undefined;
  /** Time steps of R and RT. Unit: time steps. Default: that of the run or checkpoint, else 5. */
  times?: number | undefined;
  /** Side of the square input. Unit: pixels. Default: that of the run or checkpoint, else 224. */
  imageSize?: number | undefined;
  /**
   * A file, a run, pretrained, or untrained. A .safetensors, .pth or .pth.tar file; a run's folder (its
   * latest checkpoint), RUN:best or RUN@0.5 (nearest to that epoch). Default: pretrained.
   */
  weights?: string | undefined;
  /**
   * Which weights of a file that holds several. The keys that lead to them and the prefix of their names
   * (state_dict_ema, model.student).
   */
  weightsKey?: string | undefined;
  /** Images in `val/<class>/*`. ImageNet as torchvision reads it. */
  dataPath: string;
  /** Skip undecodable images and list them. */
  skipUnreadable?: boolean | undefined;
  /** Images per job; changes the result. Unit: images. Default: 256. */
  batchSize?: number | undefined;
  /** Seed of `weights` untrained. Draws the same weights as a training with this seed. Default: 0. */
  seed?: number | undefined;
  /** tf32: GPU; bf16: mixed precision. Default: fp32. */
  precision?: 'fp32' | 'tf32' | 'bf16' | undefined;
  /** Validation images as a table, likewise. */
  valList?: string | undefined;
  /**
   * Classes to use, one per line; the order is that of the labels. Where the data have numbers, line i may be
   * the name of class i.
   */
  classes?: string | undefined;
  /**
   * Images to leave out, one path or pattern per line. class/name, with or without train/ or val/ before it;
   * a line without a slash is a name alone.
   */
  exclude?: string | undefined;
  /**
   * Validate on this part of the training images. The part that a training with this `seed` held out.
   * Default: validation images of their own.
   */
  valSplit?: number | undefined;
  /**
   * Mean and std by which pixels are normalised. half: 0.5 and 0.5; none: 0 and 1. Default: that of the run
   * or checkpoint, else imagenet.
   */
  normalize?: 'imagenet' | 'half' | 'none' | undefined;
  /** Means of the channels, 0 to 1, instead of those of `normalize`. */
  mean?: readonly [number, number, number] | undefined;
  /** Deviations of the channels, instead of those of `normalize`. */
  std?: readonly [number, number, number] | undefined;
  /** One worker per GPU, on those with most free memory (0: CPU). Unit: workers. */
  ngpus?: number | undefined;
  /** Workers on the CPU. Unit: workers. Default: 1 without `ngpus`. */
  cpuWorkers?: number | undefined;
  /** Image decoding concurrency of each worker. Unit: threads. Default: 4. */
  workers?: number | undefined;
  /** CPU threads per job; changes the result. Unit: threads. Default: cores / local workers, at least 1. */
  threads?: number | undefined;
  /** Tensor library. Default: torch. */
  backend?: 'torch' | 'tensorflow' | undefined;
  /**
   * Use this Redis instead of a private one. redis://, rediss://, unix:// or
   * redis+sentinel://host,host/master-name. Default: the environment variable CORNET_REDIS_URL.
   */
  redis?: string | undefined;
  /** How long to wait until that Redis is there and takes commands. Unit: seconds. Default: 0. */
  wait?: number | undefined;
  /** How long a result waits for a disk that is full or fails. Unit: seconds. Default: 600. */
  waitForDisk?: number | undefined;
}

/** Those of `coordinator predict`. */
export interface PredictOptions extends CallOptions {
  /** Where the predictions go. */
  outputPath: string;
  /** Options from a YAML or JSON file or a run's config.json. What is given beside it wins. */
  config?: string | undefined;
  /**
   * CORnet variant, or its file. RT is the paper's recurrent model; of a variant of your own the file (.ts,
   * .js), which is run once: every worker gets what it does. Default: that of the run or checkpoint.
   */
  model?:
    | 'Z'
    | 'R'
    | 'RT'
    | 'S'
    | `${string}.ts`
    | `${string}.mts`
    | `${string}.js`
    | `${string}.mjs`
    | undefined;
  /** Time steps of R and RT. Unit: time steps. Default: that of the run or checkpoint, else 5. */
  times?: number | undefined;
  /** Side of the square input. Unit: pixels. Default: that of the run or checkpoint, else 224. */
  imageSize?: number | undefined;
  /**
   * A file, a run, or pretrained. A .safetensors, .pth or .pth.tar file; a run's folder (its latest
   * checkpoint), RUN:best or RUN@0.5 (nearest to that epoch). Default: pretrained.
   */
  weights?: string | undefined;
  /**
   * Which weights of a file that holds several. The keys that lead to them and the prefix of their names
   * (state_dict_ema, model.student).
   */
  weightsKey?: string | undefined;
  /** The images: every .jpg, .png, … in this folder. */
  dataPath: string;
  /** Include images in subfolders. */
  recursive?: boolean | undefined;
  /** Skip undecodable images and list them. */
  skipUnreadable?: boolean | undefined;
  /** Images per job; changes the result. Unit: images. Default: 256. */
  batchSize?: number | undefined;
  /** tf32: GPU; bf16: mixed precision. Default: fp32. */
  precision?: 'fp32' | 'tf32' | 'bf16' | undefined;
  /** How many classes of each image, the likeliest first. Unit: classes. Default: 5. */
  topK?: number | undefined;
  /**
   * Mean and std by which pixels are normalised. half: 0.5 and 0.5; none: 0 and 1. Default: that of the run
   * or checkpoint, else imagenet.
   */
  normalize?: 'imagenet' | 'half' | 'none' | undefined;
  /** Means of the channels, 0 to 1, instead of those of `normalize`. */
  mean?: readonly [number, number, number] | undefined;
  /** Deviations of the channels, instead of those of `normalize`. */
  std?: readonly [number, number, number] | undefined;
  /** One worker per GPU, on those with most free memory (0: CPU). Unit: workers. */
  ngpus?: number | undefined;
  /** Workers on the CPU. Unit: workers. Default: 1 without `ngpus`. */
  cpuWorkers?: number | undefined;
  /** Image decoding concurrency of each worker. Unit: threads. Default: 4. */
  workers?: number | undefined;
  /** CPU threads per job; changes the result. Unit: threads. Default: cores / local workers, at least 1. */
  threads?: number | undefined;
  /** Tensor library. Default: torch. */
  backend?: 'torch' | 'tensorflow' | undefined;
  /**
   * Use this Redis instead of a private one. redis://, rediss://, unix:// or
   * redis+sentinel://host,host/master-name. Default: the environment variable CORNET_REDIS_URL.
   */
  redis?: string | undefined;
  /** How long to wait until that Redis is there and takes commands. Unit: seconds. Default: 0. */
  wait?: number | undefined;
  /** How long a result waits for a disk that is full or fails. Unit: seconds. Default: 600. */
  waitForDisk?: number | undefined;
}

/** Those of `coordinator export`. */
export interface ExportWeightsOptions {
  /**
   * CORnet variant, or its file. RT is the paper's recurrent model; of a variant of your own the file (.ts,
   * .js), which is run once: every worker gets what it does. Default: that of the run or checkpoint.
   */
  model?:
    | 'Z'
    | 'R'
    | 'RT'
    | 'S'
    | `${string}.ts`
    | `${string}.mts`
    | `${string}.js`
    | `${string}.mjs`
    | undefined;
  /** Time steps of R and RT. Unit: time steps. Default: that of the run or checkpoint, else 5. */
  times?: number | undefined;
  /** Side of the square input. Unit: pixels. Default: that of the run or checkpoint, else 224. */
  imageSize?: number | undefined;
  /**
   * Which weights of a file that holds several. The keys that lead to them and the prefix of their names
   * (state_dict_ema, model.student).
   */
  weightsKey?: string | undefined;
  /**
   * Outputs of the graph beside the logits: names, all, or everything. V4.output-t3,IT.output; all: outputs
   * of the areas and decoder.avgpool; everything: every output.
   */
  tap?: string | undefined;
  /** Write a graph of ONNX: of weights of any kind. A file that ends with .onnx means the same. */
  onnx?: boolean | undefined;
  /** Write a folder as models have it on Hugging Face: of weights of any kind. */
  hub?: boolean | undefined;
  /** Write a plug-in of Brain-Score, a folder that is named as the model there: of weights of any kind. */
  brainScore?: boolean | undefined;
  /** Replace the file if it exists; files of an earlier export in the folder of `hub` or `brainScore`. */
  force?: boolean | undefined;
  /** Is told what takes a while, and what may not be expected. */
  onNotice?: ((notice: Notice) => void) | undefined;
}
