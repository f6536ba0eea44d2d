/**
 * The environment that a worker process is started with. It must stand before the process starts, because libraries
 * read it when they load; so the coordinator starts its workers with it, and a worker started by hand starts itself again.
 */

/** Variables of the user's that would change the bits, or hang oneDNN (OMP_DYNAMIC, OMP_THREAD_LIMIT). */
const unwanted = [
  ...['OMP_DYNAMIC', 'OMP_THREAD_LIMIT', 'OMP_NUM_THREADS', 'OMP_MAX_ACTIVE_LEVELS'],
  ...['MKL_NUM_THREADS', 'MKL_DYNAMIC', 'MKL_CBWR', 'MKL_ENABLE_INSTRUCTIONS'],
  ...['ATEN_CPU_CAPABILITY', 'OPENBLAS_CORETYPE', 'TF_ENABLE_ONEDNN_OPTS'],
  ...['ONEDNN_MAX_CPU_ISA', 'DNNL_MAX_CPU_ISA'],
  ...['ONEDNN_DEFAULT_FPMATH_MODE', 'DNNL_DEFAULT_FPMATH_MODE'],
  ...['NVIDIA_TF32_OVERRIDE', 'TORCH_ALLOW_TF32_CUBLAS_OVERRIDE'],
  // Which kernels cuBLAS and cuDNN take, and with how much memory.
  ...['CUBLASLT_WORKSPACE_SIZE', 'TORCH_CUBLASLT_UNIFIED_WORKSPACE', 'TORCH_BLAS_PREFER_CUBLASLT'],
  ...['DISABLE_ADDMM_CUDA_LT', 'PYTORCH_TUNABLEOP_ENABLED', 'CUDNN_ERRATA_JSON_FILE'],
  ...['TORCH_CUDNN_V8_API_DISABLED', 'TORCH_CUDNN_USE_HEURISTIC_MODE_B'],
];

/**
 * Big blocks come and go every step: keep them instead of returning them to the system each time (+8 to +13 %). One
 * arena, because the engine's thread would get one whose heaps are unmapped whenever they are empty: 15,000 to 41,000
 * page faults per step of CORnet-Z with 16 images, against next to none.
 */
export const mallocTunables = [
  'glibc.malloc.mmap_threshold=4294967296',
  'glibc.malloc.trim_threshold=17179869184',
  'glibc.malloc.arena_max=1',
].join(':');

/** Names the device that the one visible GPU is: libraries call it `cuda:0`, whatever it is to the user. */
const onlyGpu = 'CORNET_ONLY_GPU';

/**
 * What the tensor library of one worker needs besides. A worker sees one GPU, so that nothing of it lies on another.
 * @param environment the user's: its CUDA_VISIBLE_DEVICES says which GPUs are meant by cuda:0, cuda:1, …
 * @param threads per shard
 */
export function backendEnvironment(
  environment: NodeJS.ProcessEnv,
  { backend, device, threads }: { backend: string; device: string; threads: number },
): Record<string, string> {
  const gpu = { CUDA_VISIBLE_DEVICES: visibleGpu(environment, device), [onlyGpu]: device };
  if (backend === 'tensorflow') return { ...tensorflowEnvironment(threads), ...gpu };
  return device === 'cpu' ? {} : gpu;
}

/** As the libraries of this process call a device. */
export function deviceHere(device: string, environment: NodeJS.ProcessEnv): string {
  return device !== 'cpu' && environment[onlyGpu] === device ? 'cuda:0' : device;
}

function visibleGpu({ CUDA_VISIBLE_DEVICES }: NodeJS.ProcessEnv, device: string): string {
  const none = '-1';
  const [, index] = device.split(':');
  if (index === undefined) return none;
  return CUDA_VISIBLE_DEVICES === undefined
    ? index
    : CUDA_VISIBLE_DEVICES.split(',')[Number(index)]?.trim() || none;
}

/**
 * What TensorFlow reads when it is loaded, and cannot be told later.
 * @param threads that one operation may use
 */
export function tensorflowEnvironment(threads: number): Record<string, string> {
  return {
    TF_NUM_INTRAOP_THREADS: String(threads),
    TF_NUM_INTEROP_THREADS: '1', // operations run one after the other
    TF_DETERMINISTIC_OPS: '1',
    NVIDIA_TF32_OVERRIDE: '0', // no TensorFloat-32
    TF_FORCE_GPU_ALLOW_GROWTH: 'true', // not all of the GPU's memory at once
  };
}

/** Says that a process already has the environment. */
const marker = 'CORNET_WORKER_ENVIRONMENT';

/**
 * @param threads per shard
 * @param workers on this host
 * @param cores of this host
 * @param decodeThreads images decoded at once
 */
export function workerEnvironment(
  environment: NodeJS.ProcessEnv,
  {
    threads,
    workers,
    cores,
    decodeThreads,
  }: { threads: number; workers: number; cores: number; decodeThreads: number },
): NodeJS.ProcessEnv {
  const clean = { ...environment };
  for (const name of unwanted) delete clean[name];
  return {
    ...clean,
    OPENBLAS_NUM_THREADS: String(threads),
    // Threads that spin while they wait take the cores from those that work, when there are more threads than cores.
    ...(workers * threads > cores ? { OMP_WAIT_POLICY: 'passive' } : {}),
    GLIBC_TUNABLES: mallocTunables,
    // cuda:N is the GPU that nvidia-smi calls N.
    CUDA_DEVICE_ORDER: 'PCI_BUS_ID',
    // Without it cuBLAS has no deterministic algorithms (PyTorch, "Reproducibility").
    CUBLAS_WORKSPACE_CONFIG: ':4096:8',
    // libuv's pool decodes images and reads files.
    UV_THREADPOOL_SIZE: String(Math.max(4, decodeThreads + 2)),
    [marker]: '1',
  };
}

/** Is set where a coordinator puts what the process prints into the run's log. */
export const readByCoordinator = 'CORNET_READ_BY_COORDINATOR';

/** Is set where somebody else puts what the process prints on a terminal. */
export const readOnTerminal = 'CORNET_READ_ON_TERMINAL';

export function hasWorkerEnvironment(environment: NodeJS.ProcessEnv): boolean {
  return environment[marker] === '1';
}
